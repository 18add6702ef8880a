//! Codes at sign-in: the right one, again, too late, wrong, of somebody else, and recovery codes.

use anyhow::Result;

use crate::portal::Portal;
use crate::{PASSWORD, Phone, Scene};

/// There is no way past the code page; the message's way is shown as it goes; a resend repeats the
/// code.
pub async fn with_code(scene: &Scene) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        phone,
    } = scene;
    portal.sign_out().await?;
    portal.says(".notice", &words.say("signed_out")).await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    for closed in ["/account", "/users", "/account/password"] {
        portal.open(closed).await?;
        portal.at("/code").await?;
    }
    let code = phone.code(system).await?;
    let delivered = words.say("state_delivered");
    if run.javascript {
        portal.wait_for_text("#state-text", &delivered).await?;
    } else {
        portal
            .wait_for_text_in(".state-frame", ".state-text", &delivered)
            .await?;
    }
    portal.picture("code-sign-in").await?;
    system.clock.advance(jiff::Span::new().seconds(61));
    portal.open("/code").await?;
    portal.follow("#resend").await?;
    portal.says(".notice", &words.say("code_resent")).await?;
    assert_eq!(phone.code(system).await?, code, "a resend repeats the code");
    portal.give_code(&code).await?;
    portal.at("/account").await
}

/// A right code, ten minutes and a second after it was sent. The page says so and offers another
/// one, which is given; the way back leads to no form that would take it again. Gives that code.
pub async fn code_given_too_late(scene: &Scene) -> Result<String> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    // The number's quota of the hour is free again, and the session was idle for too long.
    system.clock.advance(jiff::Span::new().minutes(61));
    portal.open("/account").await?;
    portal.at("/sign-in").await?;
    portal
        .says("[role=alert]", &words.say("r_session_expired"))
        .await?;
    portal.picture("session-expired").await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    let late = phone.code(system).await?;
    portal.fill("code", &late).await?;
    let life = jiff::Span::new().minutes(10).seconds(1);
    system.clock.advance(life);
    // With script the form goes away as soon as the page hears of the code's end.
    portal.send("code-form").await?;
    portal.at("/code").await?;
    portal
        .says("[role=alert]", &words.say("r_code_expired"))
        .await?;
    portal.says(".lead", &words.say("no_code_sign_in")).await?;
    assert!(
        !portal.has("#code-form").await?,
        "nothing is left to be given here"
    );
    portal.picture("code-too-late").await?;

    portal
        .follow("form[action='/code/send'] button.primary")
        .await?;
    portal.at("/code").await?;
    let code = phone.code(system).await?;
    portal.give_code(&code).await?;
    portal.at("/account").await?;
    portal.back().await?;
    portal.at("/account").await?;
    assert!(
        !portal.has("#code-form").await?,
        "a code that was accepted is asked no more"
    );
    Ok(code)
}

/// What is no code costs no try; five wrong ones end the challenge.
pub async fn wrong_codes(scene: &Scene) -> Result<()> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    let wrong = another_than(&phone.code(system).await?);
    let sentences = [
        ("12345", words.say("r_code_format")),
        (wrong.as_str(), words.say("r_code_wrong")),
        (wrong.as_str(), words.say("r_code_wrong")),
        (
            wrong.as_str(),
            words.with("r_code_wrong_left", &[("n", "2")]),
        ),
        (wrong.as_str(), words.say("r_code_wrong_last")),
    ];
    for (typed, sentence) in &sentences {
        portal.give_code(typed).await?;
        portal.at("/code").await?;
        portal.says("#code-error", sentence).await?;
    }
    portal.picture("code-wrong").await?;
    portal.give_code(&wrong).await?;
    portal
        .says("[role=alert]", &words.say("r_code_ended"))
        .await?;
    assert!(!portal.has("#code-form").await?, "the challenge is over");
    portal.picture("code-ended").await
}

/// A recovery code gets in where the code was lost, and works once.
pub async fn recovery_code(scene: &Scene, code: &str) -> Result<()> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    portal.at("/code").await?;
    portal.follow(".other-way a").await?;
    portal.at("/recovery").await?;
    portal.says("h1", &words.say("recovery_title")).await?;
    portal.picture("recovery").await?;
    portal
        .fill("recovery_code", &code.to_lowercase().replace('-', " "))
        .await?;
    portal.follow("main form button.primary").await?;
    portal.at("/account").await?;
    let left = words.with("recovery_left", &[("n", "9")]);
    portal.says(".notice", &left).await?;
    portal
        .says("main", &words.with("codes_left", &[("n", "9")]))
        .await?;
    portal.picture("account-after-recovery").await?;
    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    phone.code(system).await?;
    portal.open("/recovery").await?;
    portal.fill("recovery_code", code).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/recovery").await?;
    portal
        .says("#recovery_code-error", &words.say("r_recovery_code_wrong"))
        .await?;
    portal.picture("recovery-refused").await
}

/// The invited user confirms his own number. The administrator's code, live at that moment, is worth
/// nothing to him, and stays good for her.
pub async fn code_of_another(scene: &Scene, invited: &Portal) -> Result<()> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    let his_phone = Phone::new("+33698765432");
    invited.open("/account").await?;
    invited.pick("country", "FR").await?;
    invited.fill("mobile_number", "06 98 76 54 32").await?;
    invited.click("#two_factor").await?;
    invited.follow("form#account .save button").await?;
    invited.at("/code").await?;
    let his = his_phone.code(system).await?;

    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    let hers = phone.code(system).await?;

    if hers != his {
        invited.give_code(&hers).await?;
        invited.at("/code").await?;
        invited
            .says("#code-error", &words.say("r_code_wrong"))
            .await?;
        invited.picture("code-of-another").await?;
    }
    invited.give_code(&his).await?;
    invited
        .says(".notice", &words.say("done_two_factor_on"))
        .await?;
    portal.give_code(&hers).await?;
    portal.at("/account").await
}

/// Six digits that are not these.
fn another_than(code: &str) -> String {
    let last = if code.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &code[..code.len() - 1])
}
