//! My account and its one Save.

use std::time::Duration;

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use tonic::Code;

use crate::browser::{Browser, Gateway};
use crate::fakes::{CODE, PASSWORD};
use crate::words::{LANGUAGES, say, term};

/// The form as it stands on the page, with changes.
pub fn filled<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("country", "CA"),
        ("mobile_number", "+1 416-555-0123"),
        ("default_sms_country", "CA"),
        ("first_name", "Ada"),
        ("last_name", "Marchand"),
        ("time_zone", "America/Toronto"),
        ("date_format", "iso"),
        ("locale", "en"),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    fields
}

async fn save(browser: &mut Browser, changes: &[(&str, &str)]) {
    browser.visit("/account").await;
    browser.submit("/account", &filled(changes)).await;
}

#[tokio::test]
async fn the_page_shows_what_the_rules_name() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let page = browser.open("/account").await;
    let words = page.words();
    for text in [
        "License details",
        "Personal information",
        "Security",
        "Usage",
        "Enable 2FA authentication",
        "Default SMS country",
        "Business Standard",
        "ada@example.org",
        "Save",
        "Example Surveying",
        "Codes go to your confirmed number ending in 23.",
    ] {
        assert!(words.contains(text), "{text} is missing: {words}");
    }
    assert_eq!(page.value("mobile_number").unwrap(), "+1 416-555-0123");
    assert!(
        page.text.contains("title=\"America/Toronto ("),
        "times name their zone"
    );
    assert_eq!(
        page.text.matches("selected").count(),
        5,
        "each picker has one choice"
    );
    assert!(
        page.text
            .contains("name=\"two_factor\" id=\"two_factor\" value=\"1\" checked")
    );
}

#[tokio::test]
async fn every_error_comes_at_once_with_what_was_typed_and_nothing_is_stored() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    let long = "A".repeat(101);
    let typed = [
        ("country", ""),
        ("mobile_number", "416 555 0199"),
        ("first_name", long.as_str()),
    ];
    save(&mut browser, &typed).await;
    let page = &browser.page;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.words()
            .contains("Choose a country, or type the number in full")
    );
    assert!(page.text.contains("href=\"#country\"") && page.text.contains("href=\"#first_name\""));
    assert_eq!(page.value("mobile_number").unwrap(), "416 555 0199");
    assert_eq!(page.value("first_name").unwrap(), long);
    assert!(page.text.contains("aria-describedby=\"country-error\""));
    assert!(page.text.contains("<title>Error:"));
    assert!(gateway.fakes.details("UpdateProfile").is_empty());
}

#[tokio::test]
async fn a_plain_save_stores_once_and_an_unchanged_one_stores_nothing() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    save(&mut browser, &[]).await;
    assert_eq!(browser.page.location(), "/account?done=saved");
    assert!(gateway.fakes.details("UpdateProfile").is_empty());
    save(&mut browser, &[("first_name", "Augusta")]).await;
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("Your changes are saved.")
    );
    assert_eq!(gateway.fakes.details("UpdateProfile").len(), 1);
    assert!(gateway.fakes.details("EnableTwoFactor").is_empty());
}

#[tokio::test]
async fn a_stale_edit_is_told_and_keeps_what_was_typed() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    browser.open("/account").await;
    gateway.fakes.world().profile.version += 1;
    let page = browser
        .submit("/account", &filled(&[("first_name", "Augusta")]))
        .await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.words().contains("Somebody changed this meanwhile."));
    assert_eq!(page.value("first_name").unwrap(), "Augusta");
}

#[tokio::test]
async fn ticking_the_box_asks_the_password_sends_one_code_and_shows_the_recovery_codes_once() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    save(
        &mut browser,
        &[
            ("two_factor", "1"),
            ("mobile_number", "+33 6 12 34 56 78"),
            ("country", "FR"),
        ],
    )
    .await;
    assert!(browser.page.location().starts_with("/confirm?go=enable."));
    assert!(
        !browser.page.location().contains("612345678"),
        "no number in an address"
    );
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("type your password to switch 2FA on")
    );
    let page = browser.submit("/confirm", &[("password", "not it")]).await;
    assert!(page.words().contains("The password is not right."));
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    assert_eq!(browser.page.location(), "/code");
    let keys = gateway.fakes.details("EnableTwoFactor");
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "the same Save, the same idempotency key");
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("Confirm your number")
    );
    let page = browser.submit("/code", &[("code", CODE)]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.text.matches("<li><code>").count(), 10);
    assert!(page.text.contains("download=\"recovery-codes.txt\""));
    assert!(page.text.contains("data:text/plain"));
    let words = browser.visit("/account").await.words();
    assert!(
        words.contains("ending in 78") && !words.contains("K7WD0"),
        "{words}"
    );
}

#[tokio::test]
async fn leaving_the_code_page_drops_the_pending_enrolment() {
    let gateway = Gateway::start(false).await;
    for (path, cancelled) in [
        ("/code", 0),
        ("/code/state", 0),
        ("/dev/inbox", 0),
        ("/activity", 1),
    ] {
        let mut browser = gateway.signed_in();
        save(&mut browser, &[("two_factor", "1")]).await;
        browser.follow().await;
        browser.submit("/confirm", &[("password", PASSWORD)]).await;
        assert!(browser.cookies.contains_key("__Host-pending"));
        gateway.fakes.world().calls.clear();
        browser.open(path).await;
        assert_eq!(
            gateway.fakes.details("CancelChallenge").len(),
            cancelled,
            "{path}"
        );
        assert_eq!(
            browser.cookies.contains_key("__Host-pending"),
            cancelled == 0,
            "{path}"
        );
        gateway.fakes.world().challenge = None;
    }
}

#[tokio::test]
async fn a_limit_after_the_save_says_what_is_saved_and_when_the_code_can_be_sent() {
    let gateway = Gateway::start(false).await;
    let limit =
        Refusal::new(Code::ResourceExhausted, "sms.limit").retry_after(Duration::from_secs(1_500));
    gateway
        .fakes
        .world()
        .refuse
        .insert("EnableTwoFactor", limit);
    let mut browser = gateway.signed_in();
    save(
        &mut browser,
        &[("two_factor", "1"), ("first_name", "Augusta")],
    )
    .await;
    let words = browser.follow().await.words();
    assert!(
        words.contains(
            "Your profile is saved. The code was not sent; it can be sent in 25 minutes."
        ),
        "{words}"
    );
    assert!(words.contains("Too many messages were sent."));
    assert_eq!(gateway.fakes.details("UpdateProfile").len(), 1);
}

#[tokio::test]
async fn unticking_asks_password_and_code_and_goes_on_by_itself() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    save(&mut browser, &[]).await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    assert!(browser.page.location().starts_with("/code?go=disable."));
    browser.follow().await;
    browser.submit("/code", &[("code", CODE)]).await;
    // The step-up's code page hands on to the action, with the token of the step-up.
    assert_eq!(browser.page.location(), "/account?done=two_factor_off");
    assert!(browser.follow().await.words().contains("2FA is off."));
    assert!(!gateway.fakes.world().two_factor);
}

#[tokio::test]
async fn another_number_is_confirmed_by_a_code_to_it_after_a_step_up() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    save(
        &mut browser,
        &[("two_factor", "1"), ("mobile_number", "514 555 0142")],
    )
    .await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    browser.follow().await;
    browser.submit("/code", &[("code", CODE)]).await;
    assert_eq!(browser.page.location(), "/code");
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("Confirm your number")
    );
    browser.submit("/code", &[("code", CODE)]).await;
    assert_eq!(browser.page.location(), "/account?done=number");
    assert_eq!(gateway.fakes.world().confirmed_number, "+15145550142");
    // A later Save that leaves the number alone sends nothing.
    save(
        &mut browser,
        &[("two_factor", "1"), ("mobile_number", "514 555 0142")],
    )
    .await;
    assert_eq!(browser.page.location(), "/account?done=saved");
}

#[tokio::test]
async fn what_is_to_be_done_cannot_be_linked_from_elsewhere() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let forged = format!("/confirm?go=disable.{}.AAAA", "0".repeat(32));
    assert_eq!(browser.open(&forged).await.location(), "/account");
}

#[tokio::test]
async fn a_number_is_shown_as_it_will_be_dialled() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    browser.open("/account").await;
    let fields = [("country", "FR"), ("mobile_number", "06 12 34 56 78")];
    let page = browser.submit("/account/number/check", &fields).await;
    assert!(page.text.contains("+33 6 12 34 56 78"), "{}", page.text);
    browser.open("/account").await;
    let page = browser
        .submit(
            "/account/number/check",
            &[("mobile_number", "06 12 34 56 78")],
        )
        .await;
    assert!(page.text.contains("Choose a country"), "{}", page.text);
}

/// The account of somebody who reads this language, and presses the button that checks the number.
async fn checked(language: &str, number: &[(&str, &str)]) -> (Gateway, Browser) {
    let gateway = Gateway::start(false).await;
    {
        let mut world = gateway.fakes.world();
        world.profile.fields.as_mut().unwrap().locale = language.to_owned();
    }
    let mut browser = gateway.signed_in();
    let mut typed = vec![
        ("first_name", "Augusta"),
        ("time_zone", "Europe/Paris"),
        ("two_factor", "1"),
        ("check", "number"),
    ];
    typed.extend_from_slice(number);
    save(&mut browser, &typed).await;
    (gateway, browser)
}

/// Nothing was saved, and what was typed stands in the form.
fn only_checked(gateway: &Gateway, browser: &Browser, number: &str) {
    for rpc in ["ValidateProfile", "UpdateProfile", "EnableTwoFactor"] {
        assert!(gateway.fakes.details(rpc).is_empty(), "{rpc}");
    }
    let page = &browser.page;
    assert_eq!(page.value("mobile_number").unwrap_or_default(), number);
    assert_eq!(page.value("first_name").unwrap(), "Augusta");
    assert_eq!(page.picked("time_zone").unwrap(), "Europe/Paris");
    assert_eq!(page.picked("two_factor").unwrap(), "1");
}

#[tokio::test]
async fn without_script_a_button_shows_the_number_as_it_will_be_dialled_and_saves_nothing() {
    for language in LANGUAGES {
        let number = [("country", "FR"), ("mobile_number", "06 12 34 56 78")];
        let (gateway, browser) = checked(language, &number).await;
        let page = &browser.page;
        assert_eq!(page.status, StatusCode::OK);
        let dialled = [("number", "+33 6 12 34 56 78")];
        let dialled = say(language, "will_be_dialled", &dialled);
        assert!(page.words().contains(&dialled), "{}", page.words());
        assert_eq!(page.picked("country").unwrap(), "FR");
        only_checked(&gateway, &browser, "06 12 34 56 78");
    }
}

#[tokio::test]
async fn a_checked_number_that_is_wrong_says_so_at_its_field_and_saves_nothing() {
    for language in LANGUAGES {
        for (country, number, field, key) in [
            ("FR", "06 12", "mobile_number", "r_phone_invalid"),
            (
                "FR",
                "01 23 45 67 89",
                "mobile_number",
                "r_phone_not_sms_capable",
            ),
            ("", "06 12 34 56 78", "country", "r_phone_country_required"),
            ("FR", "", "mobile_number", "mobile_required"),
        ] {
            let typed = [("country", country), ("mobile_number", number)];
            let (gateway, browser) = checked(language, &typed).await;
            let page = &browser.page;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}");
            assert_eq!(page.error_at(field), say(language, key, &[]));
            only_checked(&gateway, &browser, number);
        }
    }
}

/// Enter in a field presses the first button of its form.
#[tokio::test]
async fn the_first_button_of_the_account_saves_and_another_one_checks_the_number() {
    for language in LANGUAGES {
        let gateway = Gateway::start(false).await;
        {
            let mut world = gateway.fakes.world();
            world.profile.fields.as_mut().unwrap().locale = language.to_owned();
        }
        let mut browser = gateway.signed_in();
        let page = browser.open("/account").await;
        let (_, form) = page.text.split_once(" id=\"account\"").unwrap();
        let (form, _) = form.split_once("</form>").unwrap();
        let buttons: Vec<(&str, &str)> = form
            .split("<button")
            .skip(1)
            .map(|button| button.split("</button>").next().unwrap())
            .map(|button| button.split_once('>').unwrap())
            .collect();
        let (attributes, text) = buttons[0];
        assert_eq!(text, term(language, "save"));
        assert!(!attributes.contains("name="), "{attributes}");
        let checks: Vec<_> = buttons
            .iter()
            .filter(|(attributes, _)| attributes.contains("name=\"check\""))
            .map(|(_, text)| *text)
            .collect();
        assert_eq!(checks, [term(language, "check_number")]);
    }
}

#[tokio::test]
async fn new_recovery_codes_and_ending_sessions() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    browser.open("/account").await;
    browser.submit("/account/recovery-codes", &[]).await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    browser.follow().await;
    let page = browser.submit("/code", &[("code", CODE)]).await;
    assert_eq!(page.text.matches("<li><code>").count(), 10);
    browser.open("/account").await;
    browser
        .submit("/account/sessions", &[("session_id", "e2")])
        .await;
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("The sessions have ended.")
    );
    assert_eq!(gateway.fakes.details("RevokeSessions"), ["e2"]);
}

#[tokio::test]
async fn changing_the_password_checks_both_and_replaces_the_token() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    browser.open("/account/password").await;
    let old = browser.cookies["__Host-session"].clone();
    let fields = [
        ("current_password", "no"),
        ("new_password", "a"),
        ("password_again", "b"),
    ];
    assert!(
        browser
            .submit("/account/password", &fields)
            .await
            .words()
            .contains("differ")
    );
    let fields = [
        ("current_password", "no"),
        ("new_password", "a"),
        ("password_again", "a"),
    ];
    let page = browser.submit("/account/password", &fields).await;
    assert!(page.text.contains("href=\"#current_password\""));
    let fields = [
        ("current_password", PASSWORD),
        ("new_password", "a"),
        ("password_again", "a"),
    ];
    browser.submit("/account/password", &fields).await;
    assert_eq!(browser.page.location(), "/account?done=password");
    assert_ne!(browser.cookies["__Host-session"], old);
}
