//! Enrolling a disabled factor anew: from the code page to the mailed link and on to the number.

use std::time::Duration;

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::Purpose;
use tonic::Code;

use crate::browser::{Browser, Gateway, Page};
use crate::fakes::{CODE, ENROLMENT_LINK, PASSWORD, RECOVERY_CODE};
use crate::refusable::{AWAITING, NOBODY};
use crate::words::{LANGUAGES, say, term};

const NUMBER: [(&str, &str); 2] = [("country", "FR"), ("mobile_number", "06 12 34 56 78")];

/// A gateway in front of somebody whose factor is disabled.
async fn disabled() -> Gateway {
    let gateway = Gateway::start(true).await;
    gateway.fakes.world().disabled = true;
    gateway
}

/// The mailed link's address.
fn link() -> String {
    format!("/link/{ENROLMENT_LINK}")
}

/// Opens the mailed link and gives the password; the page that follows.
async fn past_the_link(gateway: &Gateway, language: &str) -> Browser {
    let mut browser = gateway.speaking(language, NOBODY);
    browser.open(&link()).await;
    browser.submit(&link(), &[("password", PASSWORD)]).await;
    assert_eq!(browser.page.location(), "/enrol");
    browser.follow().await;
    browser
}

/// The same, once the page asks the password, which was typed too long ago.
async fn asked_the_password(gateway: &Gateway, language: &str) -> Browser {
    let mut browser = past_the_link(gateway, language).await;
    let stale = Refusal::new(Code::FailedPrecondition, "password_confirmation_required");
    gateway.fakes.refuse("EnableTwoFactor", stale);
    browser.submit("/enrol", &NUMBER).await;
    assert!(has_password(&browser.page), "{}", browser.page.text);
    browser
}

/// Gives number and password.
async fn with_password(browser: &mut Browser) {
    let [country, number] = NUMBER;
    let fields = [country, number, ("password", PASSWORD)];
    browser.submit("/enrol", &fields).await;
}

fn has_password(page: &Page) -> bool {
    page.text.contains(" id=\"password\"")
}

/// The page offers the link and the recovery codes, and neither asks for a code nor promises one.
fn only_offers(page: &Page, language: &str) {
    assert!(page.text.contains("action=\"/code/link\""), "{}", page.text);
    assert!(page.text.contains("href=\"/recovery"));
    for form in [
        " id=\"code\"",
        "action=\"/code/send\"",
        "action=\"/code\"",
        "action=\"/code/resend\"",
    ] {
        assert!(!page.text.contains(form), "{form}: {}", page.text);
    }
    let words = page.words();
    for key in [
        "no_code_sign_in",
        "code_sent_to",
        "code_title",
        "no_message",
    ] {
        let sentence = say(language, key, &[]);
        assert!(!words.contains(&sentence), "{sentence}: {words}");
    }
}

#[tokio::test]
async fn the_code_page_of_a_disabled_factor_offers_a_link() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = gateway.speaking(language, NOBODY);
        browser.give_password("/sign-in").await;
        let told = say(language, "r_second_factor_disabled", &[]);
        let page = browser.follow().await;
        assert_eq!(page.alert(), told);
        only_offers(page, language);
        // It needs nobody to tell it.
        let page = browser.open("/code").await;
        assert_eq!(page.alert(), told);
        only_offers(page, language);

        browser.submit("/code/link", &[]).await;
        let page = browser.follow().await;
        assert!(
            page.words()
                .contains(&say(language, "enrol_link_sent", &[]))
        );
        only_offers(page, language);
        assert_eq!(gateway.fakes.details("SendEnrolmentLink").len(), 1);

        let wait = say(language, "wait_minutes", &[("n", "30")]);
        let limit = Refusal::new(Code::ResourceExhausted, "link.limit")
            .retry_after(Duration::from_secs(1_800));
        let mailed = Refusal::new(Code::FailedPrecondition, "link.password_by_mail");
        for (refusal, told) in [
            (
                limit,
                say(language, "r_link_limit", &[("wait", wait.as_str())]),
            ),
            (mailed, say(language, "r_link_password_by_mail", &[])),
        ] {
            gateway.fakes.refuse("SendEnrolmentLink", refusal);
            browser.submit("/code/link", &[]).await;
            let page = browser.follow().await;
            assert_eq!(page.alert(), told);
            only_offers(page, language);
        }
    }
}

#[tokio::test]
async fn a_code_that_was_sent_before_the_factor_was_disabled_is_not_asked_for() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = gateway.speaking(language, AWAITING);
        gateway.fakes.world().send(Purpose::SignIn);
        let page = browser.open("/code").await;
        assert!(page.text.contains(" id=\"code\""), "{}", page.text);

        // Somebody else's guesses disable the factor while the page is open.
        gateway.fakes.world().disabled = true;
        let told = say(language, "r_second_factor_disabled", &[]);
        let page = browser.submit("/code", &[("code", CODE)]).await;
        assert_eq!(page.status, StatusCode::CONFLICT);
        assert_eq!(page.alert(), told);
        only_offers(page, language);
        let page = browser.open("/code").await;
        assert_eq!(page.alert(), told);
        only_offers(page, language);
    }
}

#[tokio::test]
async fn an_address_alone_offers_no_link() {
    let gateway = Gateway::start(true).await;
    for language in LANGUAGES {
        let mut browser = gateway.speaking(language, AWAITING);
        for path in [
            "/code?why=second_factor.disabled",
            "/code?why=link.limit&wait=60",
            "/code?done=link_sent",
        ] {
            let page = browser.open(path).await;
            assert!(!page.text.contains("action=\"/code/link\""), "{path}");
            assert!(page.text.contains("action=\"/code/send\""), "{path}");
            let sent = say(language, "enrol_link_sent", &[]);
            assert!(!page.words().contains(&sent), "{path}: nothing was");
        }
    }
}

#[tokio::test]
async fn a_code_that_can_be_sent_comes_without_the_offer() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.give_password("/sign-in").await;
    let page = browser.follow().await;
    assert!(!page.text.contains("action=\"/code/link\""));
}

#[tokio::test]
async fn link_password_number_and_code_sign_in() {
    let gateway = disabled().await;
    let mut browser = gateway.browser();
    let link = link();
    let page = browser.open(&link).await;
    assert_eq!(page.value("username").unwrap(), "ada@example.org");
    let page = browser
        .submit(&link, &[("password", "wrong password!")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(gateway.fakes.details("UseEnrolmentLink").is_empty());
    browser.submit(&link, &[("password", PASSWORD)]).await;
    assert_eq!(gateway.fakes.details("UseEnrolmentLink"), [ENROLMENT_LINK]);
    assert_eq!(browser.page.location(), "/enrol");
    browser.follow().await;
    // Whatever else is opened leads back here.
    let page = browser.visit("/account").await;
    assert!(page.text.contains("action=\"/enrol\""), "{}", page.text);

    let page = browser
        .submit(
            "/enrol",
            &[("country", ""), ("mobile_number", "06 12 34 56 78")],
        )
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(page.value("mobile_number").unwrap(), "06 12 34 56 78");
    assert!(page.text.contains("aria-describedby=\"country-error\""));
    assert!(gateway.fakes.details("EnableTwoFactor").is_empty());
    browser.submit("/enrol", &NUMBER).await;
    assert_eq!(browser.page.location(), "/code");
    let page = browser.follow().await;
    assert!(page.words().contains("Confirm your number"));
    assert!(!page.text.contains("remember_browser"));
    let page = browser.submit("/code", &[("code", CODE)]).await;
    assert!(page.words().contains("K7WD0-9RT4X"), "recovery codes");
    let page = browser.visit("/account").await;
    assert!(page.text.contains("id=\"account\""));
}

#[tokio::test]
async fn a_wrong_number_is_typed_again() {
    let gateway = disabled().await;
    let mut browser = past_the_link(&gateway, "en").await;
    browser.submit("/enrol", &NUMBER).await;
    browser.follow().await;
    browser.submit("/code/cancel", &[]).await;
    assert_eq!(browser.page.location(), "/enrol");
    browser.follow().await;
    browser
        .submit(
            "/enrol",
            &[("country", "FR"), ("mobile_number", "06 12 34 56 79")],
        )
        .await;
    let keys = gateway.fakes.details("EnableTwoFactor");
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_password_that_is_no_longer_fresh_is_asked_on_the_page() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = asked_the_password(&gateway, language).await;
        let page = &browser.page;
        let told = say(language, "r_password_confirmation_required", &[]);
        assert_eq!(page.error_at("password"), told);
        assert_eq!(page.value("mobile_number").unwrap(), "06 12 34 56 78");
        assert_eq!(page.picked("country").unwrap(), "FR");
        with_password(&mut browser).await;
        assert_eq!(gateway.fakes.details("ConfirmPassword").len(), 1);
        assert_eq!(browser.page.location(), "/code");
    }
}

/// The password is right and replaces the token, and then the service is away.
#[tokio::test]
async fn a_failure_after_the_password_loses_neither_session_nor_link() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = asked_the_password(&gateway, language).await;
        let before = browser.cookies["__Host-session"].clone();
        gateway.fakes.fail("EnableTwoFactor");
        with_password(&mut browser).await;
        let page = &browser.page;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        let wrong = say(language, "something_wrong", &[]);
        assert!(page.words().contains(&wrong), "{}", page.words());
        assert_ne!(browser.cookies["__Host-session"], before);

        let page = browser.open("/enrol").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.location());
        browser.submit("/enrol", &NUMBER).await;
        assert_eq!(browser.page.location(), "/code");
        assert_eq!(gateway.fakes.details("ConfirmPassword").len(), 1);
        assert_eq!(gateway.fakes.details("UseEnrolmentLink").len(), 1);
    }
}

/// The form that comes again belongs to the token that the password gave.
#[tokio::test]
async fn a_refusal_after_the_password_leaves_a_form_whose_buttons_work() {
    for language in LANGUAGES {
        let shared = Refusal::field("mobile_number", "phone.in_use");
        let limit = Refusal::new(Code::ResourceExhausted, "sms.limit")
            .retry_after(Duration::from_secs(1_500));
        for (refusal, status) in [
            (shared, StatusCode::UNPROCESSABLE_ENTITY),
            (limit, StatusCode::TOO_MANY_REQUESTS),
        ] {
            let reason = refusal.reason.clone();
            let gateway = disabled().await;
            let mut browser = asked_the_password(&gateway, language).await;
            gateway.fakes.refuse("EnableTwoFactor", refusal);
            with_password(&mut browser).await;
            let page = &browser.page;
            assert_eq!(page.status, status, "{reason}");
            if reason == "phone.in_use" {
                let told = say(language, "r_phone_in_use", &[]);
                assert_eq!(page.error_at("mobile_number"), told);
            } else {
                let wait = say(language, "wait_minutes", &[("n", "25")]);
                let told = say(language, "r_sms_limit", &[("wait", wait.as_str())]);
                assert_eq!(page.alert(), told);
            }
            assert_eq!(page.value("mobile_number").unwrap(), "06 12 34 56 78");
            assert!(!has_password(page), "it was right just now");

            let mut other = browser.clone();
            browser.submit("/enrol", &NUMBER).await;
            assert_eq!(browser.page.location(), "/code", "{reason}");
            other.submit("/sign-out", &[]).await;
            assert_eq!(other.page.location(), "/sign-in?done=out", "{reason}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_at_its_field_and_sends_nothing() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = asked_the_password(&gateway, language).await;
        let [country, number] = NUMBER;
        let typed = [country, number, ("password", "herons-wade-in")];
        let page = browser.submit("/enrol", &typed).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        let told = say(language, "r_password_wrong", &[]);
        assert_eq!(page.error_at("password"), told);
        assert!(!page.text.contains("herons"));
        // The one that found the password stale.
        assert_eq!(gateway.fakes.details("EnableTwoFactor").len(), 1);
        with_password(&mut browser).await;
        assert_eq!(browser.page.location(), "/code");
    }
}

/// The password signs in as far as it goes, and then the service is away.
#[tokio::test]
async fn a_link_that_could_not_be_used_leaves_the_session_of_the_password() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = gateway.speaking(language, NOBODY);
        browser.open(&link()).await;
        gateway.fakes.fail("UseEnrolmentLink");
        let page = browser.submit(&link(), &[("password", PASSWORD)]).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        let wrong = say(language, "something_wrong", &[]);
        assert!(page.words().contains(&wrong), "{}", page.words());
        let page = browser.visit("/account").await;
        only_offers(page, language);

        browser.open(&link()).await;
        browser.submit(&link(), &[("password", PASSWORD)]).await;
        assert_eq!(browser.page.location(), "/enrol");
    }
}

#[tokio::test]
async fn why_there_is_no_code_any_more_is_told_where_the_number_is_asked() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = past_the_link(&gateway, language).await;
        browser.submit("/enrol", &NUMBER).await;
        browser.follow().await;
        gateway.fakes.world().tries = 1;
        browser.submit("/code", &[("code", "000000")]).await;
        assert_eq!(browser.page.location(), "/enrol?why=code.ended");
        let page = browser.follow().await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.alert(), say(language, "r_code_ended", &[]));

        browser.submit("/enrol", &NUMBER).await;
        browser.follow().await;
        let expired = Refusal::new(Code::FailedPrecondition, "code.expired");
        gateway.fakes.refuse("VerifyCode", expired);
        gateway.fakes.world().challenge = None;
        browser.submit("/code", &[("code", CODE)]).await;
        let page = browser.follow().await;
        assert_eq!(page.alert(), say(language, "r_code_expired", &[]));

        browser.submit("/enrol", &NUMBER).await;
        browser.follow().await;
        let limit = Refusal::new(Code::ResourceExhausted, "sms.limit")
            .retry_after(Duration::from_secs(1_500));
        gateway.fakes.refuse("ResendCode", limit);
        gateway.fakes.world().challenge = None;
        browser.submit("/code/resend", &[]).await;
        let page = browser.follow().await;
        let wait = say(language, "wait_minutes", &[("n", "25")]);
        let told = say(language, "r_sms_limit", &[("wait", wait.as_str())]);
        assert_eq!(page.alert(), told);
        assert!(page.text.contains("action=\"/enrol\""), "{}", page.text);
    }
}

#[tokio::test]
async fn a_recovery_code_signs_in_where_the_number_is_asked_too() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = past_the_link(&gateway, language).await;
        let link = format!(
            "href=\"/recovery\">{}<",
            term(language, "use_recovery_code")
        );
        assert!(browser.page.text.contains(&link), "{}", browser.page.text);
        let page = browser.open("/recovery").await;
        let back = format!("href=\"/code\">{}<", term(language, "back"));
        assert!(page.text.contains(&back), "{}", page.text);
        let typed = [("recovery_code", RECOVERY_CODE)];
        browser.submit("/recovery", &typed).await;
        assert_eq!(browser.page.location(), "/account?left=2");
        let words = browser.follow().await.words();
        let left = say(language, "recovery_few_left", &[("n", "2")]);
        assert!(words.contains(&left), "{words}");
    }
}

#[tokio::test]
async fn a_link_that_has_ended_says_where_every_kind_of_link_comes_from() {
    let gateway = Gateway::start(true).await;
    for language in LANGUAGES {
        let mut browser = gateway.speaking(language, NOBODY);
        let page = browser.open("/link/spl_used").await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        let words = page.words();
        assert!(words.contains(&say(language, "link_again", &[])), "{words}");
        let sign_in = "class=\"button primary\" href=\"/sign-in\"";
        assert_eq!(page.text.matches("class=\"button primary\"").count(), 1);
        assert!(page.text.contains(sign_in), "{}", page.text);
        assert!(page.text.contains("class=\"button\" href=\"/forgot\""));
    }
}

/// Presses the button that checks the number; the form comes again as it was typed.
async fn check(browser: &mut Browser, country: &str, number: &str) {
    let fields = [
        ("country", country),
        ("mobile_number", number),
        ("check", "number"),
    ];
    let page = browser.submit("/enrol", &fields).await;
    assert_eq!(page.value("mobile_number").unwrap_or_default(), number);
    assert_eq!(page.picked("country").unwrap(), country);
}

#[tokio::test]
async fn without_script_a_button_shows_the_number_as_it_will_be_dialled_and_sends_nothing() {
    for language in LANGUAGES {
        let gateway = disabled().await;
        let mut browser = past_the_link(&gateway, language).await;
        let text = browser.page.text.replace("&#39;", "'");
        let (_, form) = text.split_once("action=\"/enrol\"").unwrap();
        // Enter in a field presses the first button of its form.
        let (_, first) = form.split_once("<button").unwrap();
        let (first, _) = first.split_once("</button>").unwrap();
        assert!(!first.contains(" name="), "{first}");
        assert!(first.ends_with(term(language, "send_code")), "{first}");
        let second = term(language, "check_number");
        let second = format!("name=\"check\" value=\"number\">{second}</button>");
        assert!(form.contains(&second), "{form}");

        check(&mut browser, "FR", "06 12 34 56 78").await;
        assert_eq!(browser.page.status, StatusCode::OK);
        let dialled = [("number", "+33 6 12 34 56 78")];
        let dialled = say(language, "will_be_dialled", &dialled);
        let words = browser.page.words();
        assert!(words.contains(&dialled), "{words}");
        for (country, number, field, key) in [
            ("FR", "06 12", "mobile_number", "r_phone_invalid"),
            ("", "06 12 34 56 78", "country", "r_phone_country_required"),
            ("FR", "", "mobile_number", "mobile_required"),
        ] {
            check(&mut browser, country, number).await;
            assert_eq!(browser.page.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(browser.page.error_at(field), say(language, key, &[]));
        }
        assert!(gateway.fakes.details("EnableTwoFactor").is_empty());
        assert!(gateway.fakes.details("ConfirmPassword").is_empty());
    }
}

#[tokio::test]
async fn the_number_is_asked_only_where_a_link_was_used() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.give_password("/sign-in").await;
    let page = browser.open("/enrol").await;
    assert_eq!(page.location(), "/account");
}
