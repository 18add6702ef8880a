//! The journey of a new user in a real browser, on both stacks, in English and French, with and
//! without JavaScript. Codes are read from the SMS that arrived.

// The journey is one long chain of awaits.
#![recursion_limit = "256"]

mod portal;

use anyhow::{Context, Result};
use sallyport_testkit::{Browser, BrowserOptions};
use sallyport_tests::{Kind, System, code_in};

use crate::portal::Portal;

const PASSWORD: &str = "correct horse battery staple 42";
/// Typed as people do; France.
const TYPED: &str = "06 12 34 56 78";
const NUMBER: &str = "+33612345678";

/// What differs between the runs of the journey.
struct Run {
    kind: Kind,
    javascript: bool,
    french: bool,
    window: (u32, u32),
    shots: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_embedded_english_with_script() -> Result<()> {
    journey(Run {
        kind: Kind::Embedded,
        javascript: true,
        french: false,
        window: (1280, 900),
        shots: "embedded-en",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_embedded_french_on_a_phone_without_script() -> Result<()> {
    journey(Run {
        kind: Kind::Embedded,
        javascript: false,
        french: true,
        window: (400, 860),
        shots: "embedded-fr-phone",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_on_real_servers_with_script() -> Result<()> {
    journey(Run {
        kind: Kind::Real,
        javascript: true,
        french: false,
        window: (1280, 900),
        shots: "real-en",
    })
    .await
}

async fn journey(run: Run) -> Result<()> {
    let system = System::start(run.kind).await?;
    let browser = Browser::start(BrowserOptions {
        languages: if run.french {
            "fr-CA,fr".into()
        } else {
            "en-CA,en".into()
        },
        window: run.window,
        javascript: run.javascript,
    })
    .await?;
    let portal = Portal::new(browser, &system.portal, run.shots);
    let text = |en: &'static str, fr: &'static str| if run.french { fr } else { en };

    first_password(&portal, &system).await?;
    if run.french {
        // The account says English until its user says otherwise.
        portal.open("/account").await?;
        portal.pick("locale", "fr").await?;
        portal.follow("form#account .save button").await?;
        portal.at("/account").await?;
    }
    number_without_country_is_refused(&portal, text).await?;
    let codes = enrol(&portal, &system, text).await?;
    sign_in_with_code(&portal, &system, text).await?;
    wrong_used_and_ended_codes(&portal, &system).await?;
    recovery_code(&portal, &system, &codes[0]).await?;
    administration(&portal, &system, text).await?;
    system.stop().await
}

async fn first_password(portal: &Portal, system: &System) -> Result<()> {
    portal.open(&system.admin_link).await?;
    portal.picture("01-link").await?;
    portal.fill("password", "password").await?;
    portal.fill("password_again", "password").await?;
    portal.follow("main form button.primary").await?;
    assert!(
        portal.has("#password-error").await?,
        "a common password is refused at the field"
    );
    assert_eq!(
        portal.value("password").await?,
        "",
        "a password is never given back"
    );
    portal.fill("password", PASSWORD).await?;
    portal.fill("password_again", PASSWORD).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/sign-in").await?;
    portal.picture("02-sign-in").await?;

    portal
        .sign_in(&system.admin_email, "this is not the password")
        .await?;
    portal.at("/sign-in").await?;
    assert!(portal.has("[role=alert]").await?);
    assert_eq!(
        portal.value("email").await?,
        system.admin_email,
        "what was typed survives"
    );
    portal.picture("03-sign-in-refused").await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/account").await
}

async fn number_without_country_is_refused(
    portal: &Portal,
    text: impl Fn(&'static str, &'static str) -> &'static str,
) -> Result<()> {
    portal.open("/account").await?;
    for block in [
        text("License details", "Détails de la licence"),
        text("Personal information", "Renseignements personnels"),
        text("Security", "Sécurité"),
        text("Usage", "Utilisation"),
    ] {
        assert!(
            portal.texts("h2").await?.iter().any(|h| h == block),
            "block {block}"
        );
    }
    assert!(
        portal.text("label.tick").await?.contains(text(
            "Enable 2FA authentication",
            "Activer l'authentification 2FA"
        )),
        "the box has its name"
    );
    portal.picture("04-account").await?;
    portal.fill("first_name", "Changed").await?;
    portal.fill("mobile_number", TYPED).await?;
    portal.click("#two_factor").await?;
    portal.follow("form#account .save button").await?;
    assert!(
        portal.has("#country-error").await?,
        "the field says that a country is missing"
    );
    assert_eq!(
        portal.value("mobile_number").await?,
        TYPED,
        "what was typed survives"
    );
    portal.picture("05-country-required").await?;
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

/// Picks the country, types the number, ticks the box, saves, and gives the code.
async fn enrol(
    portal: &Portal,
    system: &System,
    text: impl Fn(&'static str, &'static str) -> &'static str,
) -> Result<Vec<String>> {
    portal.open("/account").await?;
    portal.fill("first_name", "Ada").await?;
    portal.pick("country", "FR").await?;
    portal.fill("mobile_number", TYPED).await?;
    portal.click("#two_factor").await?;
    portal.follow("form#account .save button").await?;
    portal.confirm_password_if_asked(PASSWORD).await?;
    portal.at("/code").await?;
    let dropped = system.codes(NUMBER, 1).await?.remove(0);
    portal.picture("06-code").await?;

    // Leaving the page drops the pending state; the code that was sent is worth nothing now.
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
    portal.follow("form#account .save button").await?;
    portal.confirm_password_if_asked(PASSWORD).await?;
    portal.at("/code").await?;
    let sms = system.codes(NUMBER, 2).await?.remove(1);
    let reference = portal.text(".reference").await?;
    assert!(
        sms.contains(&reference),
        "page and message show the same reference"
    );
    assert_eq!(
        portal
            .text(".ending")
            .await?
            .trim_start_matches(['•', '\u{a0}', ' ']),
        "78"
    );
    let (old, code) = (code_in(&dropped)?, code_in(&sms)?);
    if old != code {
        portal.give_code(&old).await?;
        portal.at("/code").await?;
        assert!(
            portal.has("#code-error").await?,
            "the code of the dropped enrolment is wrong"
        );
    }
    portal.give_code(&code).await?;
    let codes = portal.texts("#codes li").await?;
    assert_eq!(codes.len(), 10, "ten recovery codes are shown");
    portal.picture("07-recovery-codes").await?;
    portal.open("/account").await?;
    assert!(
        portal.ticked("two_factor").await?,
        "two-factor authentication is on"
    );
    assert!(!portal.has("#codes").await?);
    let shown = text("+33 6 12 34 56 78", "+33 6 12 34 56 78");
    assert_eq!(
        portal.value("mobile_number").await?,
        shown,
        "the number as it is dialled"
    );
    portal.picture("08-account-two-factor-on").await?;
    Ok(codes)
}

async fn sign_in_with_code(
    portal: &Portal,
    system: &System,
    text: impl Fn(&'static str, &'static str) -> &'static str,
) -> Result<()> {
    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    // No way past the code page.
    portal.open("/account").await?;
    portal.at("/code").await?;
    portal.open("/users").await?;
    portal.at("/code").await?;
    let sms = system.codes(NUMBER, 3).await?.remove(2);
    if portal.has("#state-text").await? && system.kind() == Kind::Real {
        portal
            .wait_for_text("#state-text", text("was delivered", "a été livré"))
            .await?;
    }
    portal.picture("09-code-sign-in").await?;
    system.clock.advance(jiff::Span::new().seconds(61));
    portal.open("/code").await?;
    portal.follow("#resend").await?;
    let again = system.codes(NUMBER, 4).await?.remove(3);
    assert_eq!(code_in(&again)?, code_in(&sms)?, "Resend repeats the code");
    portal.give_code(&code_in(&sms)?).await?;
    portal.at("/account").await?;
    Ok(())
}

/// A wrong code, a used one, and five wrong ones that end the challenge.
async fn wrong_used_and_ended_codes(portal: &Portal, system: &System) -> Result<()> {
    let used = code_in(system.codes(NUMBER, 4).await?.last().context("no SMS")?)?;
    system.clock.advance(jiff::Span::new().minutes(61));
    portal.open("/account").await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    let code = code_in(system.codes(NUMBER, 5).await?.last().context("no SMS")?)?;
    portal.fill("code", "12345").await?;
    portal.follow("#code-form button.primary").await?;
    assert!(portal.has("#code-error").await?, "five digits are no code");
    let wrong = if used == code {
        "000000"
    } else {
        used.as_str()
    };
    for _ in 0..4 {
        portal.give_code(wrong).await?;
        portal.at("/code").await?;
        assert!(portal.has("#code-error").await?);
    }
    portal.picture("10-code-wrong").await?;
    portal.fill("code", wrong).await?;
    portal.follow("#code-form button.primary").await?;
    portal.picture("11-code-ended").await?;
    assert!(!portal.has("#code-form").await?, "the challenge is over");
    Ok(())
}

async fn recovery_code(portal: &Portal, system: &System, code: &str) -> Result<()> {
    portal.at("/code").await?;
    portal.follow(".other-way a").await?;
    portal.at("/recovery").await?;
    portal.picture("12-recovery").await?;
    portal
        .fill("recovery_code", &code.to_lowercase().replace('-', " "))
        .await?;
    portal.follow("main form button.primary").await?;
    portal.at("/account").await?;
    portal.picture("13-account-after-recovery").await?;
    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.open("/recovery").await?;
    portal.fill("recovery_code", code).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/recovery").await?;
    assert!(
        portal.has("#recovery_code-error").await?,
        "a recovery code works once"
    );
    Ok(())
}

/// Adding a user under the approved domain, his licence, and the log of a user.
async fn administration(
    portal: &Portal,
    system: &System,
    text: impl Fn(&'static str, &'static str) -> &'static str,
) -> Result<()> {
    // The number's quota of the hour is free again, and a code signs the administrator in.
    system.clock.advance(jiff::Span::new().minutes(61));
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    let sent = system.codes(NUMBER, 6).await?;
    let code = code_in(sent.last().context("no SMS")?)?;
    portal.give_code(&code).await?;
    portal.at("/account").await?;

    portal.open("/users").await?;
    portal.picture("14-users").await?;
    portal.open("/users/add").await?;
    portal.fill("email", "bob@elsewhere.test").await?;
    portal.fill("first_name", "Bob").await?;
    portal.fill("last_name", "Martin").await?;
    portal.follow("main form button.primary").await?;
    assert!(
        portal.has("#email-error").await?,
        "the domain is not approved"
    );
    portal.picture("15-user-add-refused").await?;
    portal.fill("email", "Bob@Example.com").await?;
    portal.follow("main form button.primary").await?;
    let link = portal.text("#link").await?;
    assert!(
        link.starts_with(&format!("{}/link/spl_", system.portal)),
        "{link}"
    );
    portal.picture("16-user-added").await?;
    portal.open("/users").await?;
    let row = portal.text("main tbody").await?;
    assert!(row.contains("bob@example.com"), "{row}");
    portal.open("/licences").await?;
    portal.picture("17-licences").await?;
    portal.open("/domains").await?;
    portal.picture("18-domains").await?;

    portal.open("/activity").await?;
    let events = portal.text("main table").await?;
    assert!(
        events.contains(text("Two-factor", "deux facteurs")) || events.contains("2FA"),
        "the activation is in the log:\n{events}"
    );
    portal.picture("19-activity").await?;
    portal.sign_out().await?;

    // The invited user sets his password by the link that was shown once.
    portal.open(&link).await?;
    portal
        .fill("password", "another long enough passphrase")
        .await?;
    portal
        .fill("password_again", "another long enough passphrase")
        .await?;
    portal.follow("main form button.primary").await?;
    portal
        .sign_in("bob@example.com", "another long enough passphrase")
        .await?;
    portal.at("/account").await?;
    portal.open("/users").await?;
    assert!(
        !portal.has("main tbody").await?,
        "an ordinary user administers nobody"
    );
    portal.picture("20-denied").await?;
    Ok(())
}
