//! Steps before an action: a recovery code, which tells how many are left, and what becomes of session
//! and codes where the action then fails.

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use tonic::Code;

use crate::account::filled;
use crate::browser::{Browser, Gateway};
use crate::fakes::{CODE, RECOVERY_CODE};
use crate::refusable::SIGNED_IN;
use crate::words::{LANGUAGES, say};

/// Signed in, with the password typed just now, at the code page to which an action of My account
/// leads; `left` recovery codes are left.
async fn at_the_step_up(
    gateway: &Gateway,
    language: &str,
    left: u32,
    (to, fields): (&str, &[(&str, &str)]),
) -> Browser {
    let mut browser = gateway.speaking(language, SIGNED_IN);
    {
        let mut world = gateway.fakes.world();
        world.recovery_codes_left = left;
        for (_, password_is_fresh) in world.sessions.values_mut() {
            *password_is_fresh = true;
        }
    }
    browser.open("/account").await;
    browser.submit(to, fields).await;
    let asked = browser.page.location().starts_with("/code?go=");
    assert!(asked, "{}", browser.page.location());
    browser.follow().await;
    browser
}

/// Gives a recovery code instead.
async fn recover(browser: &mut Browser) {
    let go = browser.page.value("go").unwrap();
    browser.open(&format!("/recovery?go={go}")).await;
    let typed = [("recovery_code", RECOVERY_CODE)];
    browser.submit("/recovery", &typed).await;
}

const NUMBER: (&str, &[(&str, &str)]) = ("/account/number", &[]);
const NEW_CODES: (&str, &[(&str, &str)]) = ("/account/recovery-codes", &[]);

/// What is said of the codes that are left, and whether new ones are asked for.
fn sentences(language: &str) -> [(u32, String); 4] {
    [
        (0, say(language, "recovery_none_left", &[])),
        (1, say(language, "recovery_one_left", &[])),
        (2, say(language, "recovery_few_left", &[("n", "2")])),
        (8, say(language, "recovery_left", &[("n", "8")])),
    ]
}

#[tokio::test]
async fn the_code_page_that_comes_next_tells_how_many_recovery_codes_are_left() {
    for language in LANGUAGES {
        for (left, sentence) in sentences(language) {
            let gateway = Gateway::start(true).await;
            let mut browser = at_the_step_up(&gateway, language, left + 1, NUMBER).await;
            recover(&mut browser).await;
            assert_eq!(browser.page.location(), format!("/code?left={left}"));
            let words = browser.follow().await.words();
            assert!(words.contains(&sentence), "{words}");
            let title = say(language, "code_title_number", &[]);
            assert!(words.contains(&title), "{words}");
        }
    }
}

#[tokio::test]
async fn my_account_tells_how_many_are_left_and_why_the_action_was_refused() {
    for language in LANGUAGES {
        for (left, sentence) in sentences(language) {
            let gateway = Gateway::start(true).await;
            let mut browser = at_the_step_up(&gateway, language, left + 1, NEW_CODES).await;
            let busy = Refusal::new(Code::FailedPrecondition, "two_factor.not_active");
            gateway.fakes.refuse("RemakeRecoveryCodes", busy);
            recover(&mut browser).await;
            let page = browser.follow().await;
            let refused = say(language, "r_two_factor_not_active", &[]);
            assert_eq!(page.alert(), refused);
            assert!(page.words().contains(&sentence), "{}", page.words());
        }
    }
}

#[tokio::test]
async fn a_password_that_is_asked_again_comes_with_how_many_are_left() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = at_the_step_up(&gateway, language, 3, NEW_CODES).await;
        let stale = Refusal::new(Code::FailedPrecondition, "password_confirmation_required");
        gateway.fakes.refuse("RemakeRecoveryCodes", stale);
        recover(&mut browser).await;
        assert!(browser.page.location().starts_with("/confirm?go=codes."));
        let words = browser.follow().await.words();
        let left = say(language, "recovery_few_left", &[("n", "2")]);
        assert!(words.contains(&left), "{words}");
    }
}

#[tokio::test]
async fn where_the_action_ends_the_codes_only_those_that_are_left_are_told() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = at_the_step_up(&gateway, language, 3, NEW_CODES).await;
        recover(&mut browser).await;
        let page = &browser.page;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.text.matches("<li><code>").count(), 10);
        let words = page.words();
        let made = say(language, "done_codes", &[("n", "10")]);
        assert!(words.contains(&made), "{words}");

        let untick = filled(&[("locale", language)]);
        let untick = ("/account", untick.as_slice());
        gateway.fakes.world().second_factor_fresh = false;
        let mut browser = at_the_step_up(&gateway, language, 3, untick).await;
        recover(&mut browser).await;
        let words = browser.follow().await.words();
        let off = say(language, "done_two_factor_off", &[]);
        assert!(words.contains(&off), "{words}");
        let left = say(language, "recovery_few_left", &[("n", "2")]);
        assert!(!words.contains(&left), "2FA has none any more: {words}");
    }
}

/// No code would count, and no link is mailed to who is signed in: a recovery code works.
#[tokio::test]
async fn where_the_factor_is_disabled_an_action_asks_for_a_recovery_code_and_sends_none() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        gateway.fakes.world().disabled = true;
        let mut browser = at_the_step_up(&gateway, language, 3, NEW_CODES).await;
        let page = browser.page.clone();
        let told = say(language, "r_second_factor_disabled", &[]);
        assert_eq!(page.alert(), told);
        for to in ["/code", "/code/send", "/code/resend", "/code/link"] {
            let form = format!("action=\"{to}\"");
            assert!(!page.text.contains(&form), "{to}: {}", page.text);
        }
        let offer = say(language, "enrol_offer_signed_in", &[]);
        assert!(page.words().contains(&offer), "{}", page.words());

        let (_, way) = page.text.split_once("href=\"/recovery?go=").unwrap();
        let go = way.split('"').next().unwrap();
        browser.open(&format!("/recovery?go={go}")).await;
        let typed = [("recovery_code", RECOVERY_CODE)];
        let page = browser.submit("/recovery", &typed).await;
        assert_eq!(page.text.matches("<li><code>").count(), 10);
    }
}

/// The code is right and replaces the token, and then the service is away.
#[tokio::test]
async fn an_action_that_fails_after_its_code_keeps_the_session() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = at_the_step_up(&gateway, language, 3, NEW_CODES).await;
        let before = browser.cookies["__Host-session"].clone();
        gateway.fakes.fail("RemakeRecoveryCodes");
        let page = browser.submit("/code", &[("code", CODE)]).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        let wrong = say(language, "something_wrong", &[]);
        assert!(page.words().contains(&wrong), "{}", page.words());
        assert_ne!(browser.cookies["__Host-session"], before);
        let page = browser.open("/account").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.location());
    }
}

/// They are not shown a second time.
#[tokio::test]
async fn new_recovery_codes_are_shown_even_where_the_session_cannot_be_read() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = at_the_step_up(&gateway, language, 3, NEW_CODES).await;
        gateway.fakes.world().second_factor_fresh = true;
        browser.open("/account").await;
        gateway.fakes.fail("GetSession");
        let page = browser.submit("/account/recovery-codes", &[]).await;
        assert_eq!(page.status, StatusCode::OK);
        let made = say(language, "done_codes", &[("n", "10")]);
        assert!(page.words().contains(&made), "{}", page.words());
    }
}
