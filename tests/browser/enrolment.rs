//! The administrator's first password, his number, and two-factor authentication on, off and on.

use anyhow::Result;
use sallyport_tests::code_in;

use crate::{PASSWORD, Scene};

/// The number as people type it; France.
const TYPED: &str = "06 12 34 56 78";
/// As it is dialled from anywhere.
const DIALLED: &str = "+33 6 12 34 56 78";
const SAVE: &str = "form#account .save button";

/// The link of the invitation sets the password, once; the first sign-in.
pub async fn first_password(scene: &Scene) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        ..
    } = scene;
    portal.open(&system.admin_link).await?;
    if run.french {
        // The page speaks the language of the account, which is English as yet.
        portal.follow("form[action='/language'] button").await?;
    }
    portal.says("h1", &words.say("link_welcome")).await?;
    portal.picture("link").await?;
    portal.set_password("passwordpassword").await?;
    let common = words.say("r_password_common");
    portal.says("#summary", &common).await?;
    portal.says("#password-error", &common).await?;
    assert_eq!(
        portal.value("password").await?,
        "",
        "a password is never given back"
    );
    portal.set_password(PASSWORD).await?;
    portal.at("/sign-in").await?;
    portal
        .says(".notice", &words.say("password_set_sign_in"))
        .await?;
    portal.picture("sign-in").await?;
    portal.open(&system.admin_link).await?;
    portal.says("main", &words.say("r_link_invalid")).await?;
    portal.picture("link-used").await?;

    portal
        .sign_in(&system.admin_email, "this is not the password")
        .await?;
    portal.at("/sign-in").await?;
    portal
        .says("[role=alert]", &words.say("r_sign_in_failed"))
        .await?;
    assert_eq!(
        portal.value("email").await?,
        system.admin_email,
        "what was typed survives"
    );
    portal.picture("sign-in-refused").await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/account").await?;
    if run.french {
        // The account says English until its user says otherwise.
        portal.pick("locale", "fr").await?;
        portal.follow(SAVE).await?;
        portal.at("/account").await?;
        portal.says(".notice", &words.say("done_saved")).await?;
    }
    Ok(())
}

/// Neither a plus nor a picked country: nothing is stored (rule 1).
pub async fn number_without_country(scene: &Scene) -> Result<()> {
    let Scene { words, portal, .. } = scene;
    portal.open("/account").await?;
    let blocks = portal.texts("h2").await?;
    for block in [
        "licence_details",
        "personal_information",
        "security",
        "usage",
    ] {
        let block = words.say(block);
        assert!(blocks.contains(&block), "no block {block}: {blocks:?}");
    }
    portal.says("label.tick", &words.say("enable_2fa")).await?;
    portal
        .says("#two_factor-hint", &words.say("sms_is_restricted"))
        .await?;
    portal.picture("account").await?;
    portal.fill("first_name", "Changed").await?;
    portal.fill("mobile_number", TYPED).await?;
    portal.click("#two_factor").await?;
    portal.follow(SAVE).await?;
    portal
        .says("#country-error", &words.say("r_phone_country_required"))
        .await?;
    assert_eq!(
        portal.value("mobile_number").await?,
        TYPED,
        "what was typed survives"
    );
    portal.picture("country-required").await?;
    portal.open("/account").await?;
    assert_ne!(
        portal.value("first_name").await?,
        "Changed",
        "nothing was stored"
    );
    assert!(
        !portal.ticked("two_factor").await?,
        "the box stays unticked"
    );
    Ok(())
}

/// Picks the country, types the number, ticks the box, saves; leaves the page of the code, which
/// drops it; and gives the next one.
pub async fn enrol(scene: &Scene) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    portal.open("/account").await?;
    portal.fill("first_name", "Ada").await?;
    portal.pick("country", "FR").await?;
    portal.fill("mobile_number", TYPED).await?;
    portal.click("#two_factor").await?;
    if run.javascript {
        portal.follow(SAVE).await?;
    } else {
        // With script the page says by itself how the number will be dialled (rule 3).
        portal.follow("form#account button[name='check']").await?;
        let dialled = words.with("will_be_dialled", &[("number", DIALLED)]);
        portal.says("#dialled", &dialled).await?;
        assert_eq!(
            portal.value("mobile_number").await?,
            TYPED,
            "what was typed survives"
        );
        portal.picture("number-checked").await?;
        // Enter saves, though the button that checks stands before the one that saves.
        portal.enter("mobile_number").await?;
    }
    portal.at("/code").await?;
    let dropped = phone.code(system).await?;
    portal.says("h1", &words.say("code_title_number")).await?;
    portal.picture("code-enrolment").await?;

    portal.open("/account").await?;
    assert_eq!(
        portal.value("first_name").await?,
        "Ada",
        "the other fields were stored"
    );
    assert!(
        !portal.ticked("two_factor").await?,
        "two-factor authentication is not on"
    );
    system.clock.advance(jiff::Span::new().seconds(61));
    portal.click("#two_factor").await?;
    portal.follow(SAVE).await?;
    portal.at("/code").await?;
    let sms = phone.sms(system).await?;
    let reference = portal.text(".reference").await?;
    assert!(
        sms.contains(&reference),
        "page and message show the same reference"
    );
    assert_eq!(
        portal.text(".ending").await?.trim_start_matches(['•', ' ']),
        "78",
        "no more of the number than its end"
    );
    let code = code_in(&sms)?;
    if dropped != code {
        portal.give_code(&dropped).await?;
        portal.at("/code").await?;
        portal
            .says("#code-error", &words.say("r_code_wrong"))
            .await?;
    }
    portal.give_code(&code).await?;
    portal
        .says(".notice", &words.say("done_two_factor_on"))
        .await?;
    let codes = portal.texts("#codes li").await?;
    assert_eq!(codes.len(), 10, "ten recovery codes are shown");
    portal.picture("recovery-codes").await?;
    portal.open("/account").await?;
    assert!(
        portal.ticked("two_factor").await?,
        "two-factor authentication is on"
    );
    let active = words.with("factor_active", &[("ending", "78")]);
    portal.says("#two_factor-hint", &active).await?;
    assert!(
        !portal.has("#codes").await?,
        "recovery codes are shown once"
    );
    assert_eq!(
        portal.value("mobile_number").await?,
        DIALLED,
        "the number as it is dialled"
    );
    portal.picture("account-two-factor-on").await
}

/// Unticking the box asks the password and a fresh code: the one of the sign-in, `used`, is not it
/// (rules 10 and 18). Ticking it again asks for nothing, since the number is confirmed and unchanged
/// (rule 7). Gives the new recovery codes.
pub async fn off_and_on_again(scene: &Scene, used: &str) -> Result<Vec<String>> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    // Password and code of the sign-in are no longer fresh.
    let past = jiff::Span::new().minutes(5).seconds(1);
    system.clock.advance(past);
    portal.open("/account").await?;
    portal.click("#two_factor").await?;
    portal.follow(SAVE).await?;
    portal.at("/confirm").await?;
    portal.says("h1", &words.say("confirm_title")).await?;
    let what = words.say("go_disable");
    let intro = words.with("confirm_intro", &[("what", &what)]);
    portal.says(".lead", &intro).await?;
    portal.picture("confirm").await?;
    portal.fill("password", "this is not the password").await?;
    portal.follow("main form button.primary").await?;
    portal
        .says("#password-error", &words.say("r_password_wrong"))
        .await?;
    portal.picture("confirm-refused").await?;
    portal.fill("password", PASSWORD).await?;
    portal.follow("main form button.primary").await?;

    portal.at("/code").await?;
    portal.says("h1", &words.say("code_title")).await?;
    let fresh = phone.code(system).await?;
    if used != fresh {
        portal.give_code(used).await?;
        portal.at("/code").await?;
        portal
            .says("#code-error", &words.say("r_code_wrong"))
            .await?;
    }
    portal.picture("code-step-up").await?;
    portal.give_code(&fresh).await?;
    portal.at("/account").await?;
    portal
        .says(".notice", &words.say("done_two_factor_off"))
        .await?;
    assert!(!portal.ticked("two_factor").await?, "it is off");
    portal.picture("account-two-factor-off").await?;

    portal.click("#two_factor").await?;
    portal.follow(SAVE).await?;
    portal
        .says(".notice", &words.say("done_two_factor_on"))
        .await?;
    let codes = portal.texts("#codes li").await?;
    assert_eq!(codes.len(), 10, "a new set of recovery codes is shown");
    Ok(codes)
}
