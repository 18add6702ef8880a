//! Enrolling a disabled factor anew: from the code page to the mailed link and on to the number.

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use tonic::Code;

use crate::browser::{Browser, Gateway};
use crate::fakes::{CODE, ENROLMENT_LINK, PASSWORD};

const ADA: (&str, &str) = ("email", "ada@example.org");

fn disabled() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "second_factor.disabled")
}

/// Signs in while the factor is disabled; the code page says so.
async fn at_the_code_page(gateway: &Gateway) -> Browser {
    let mut browser = gateway.browser();
    let refuse = &gateway.fakes;
    refuse.world().refuse.insert("SendSignInCode", disabled());
    browser.open("/sign-in").await;
    browser
        .submit("/sign-in", &[ADA, ("password", PASSWORD)])
        .await;
    browser.follow().await;
    browser
}

/// Opens the mailed link and gives the password; the page that follows.
async fn past_the_link(gateway: &Gateway) -> Browser {
    let mut browser = gateway.browser();
    let link = format!("/link/{ENROLMENT_LINK}");
    browser.open(&link).await;
    browser.submit(&link, &[("password", PASSWORD)]).await;
    assert_eq!(browser.page.location(), "/enrol");
    browser.follow().await;
    browser
}

#[tokio::test]
async fn the_code_page_of_a_disabled_factor_offers_a_link() {
    let gateway = Gateway::start(true).await;
    let mut browser = at_the_code_page(&gateway).await;
    let words = browser.page.words();
    assert!(words.contains("switched off after too many"), "{words}");
    assert!(!browser.page.text.contains("action=\"/code/send\""));
    browser.submit("/code/link", &[]).await;
    let page = browser.follow().await;
    assert!(page.words().contains("A link is on its way"));
    assert_eq!(gateway.fakes.details("SendEnrolmentLink").len(), 1);

    let limit = Refusal::new(Code::ResourceExhausted, "link.limit")
        .retry_after(std::time::Duration::from_secs(1800));
    gateway
        .fakes
        .world()
        .refuse
        .insert("SendEnrolmentLink", limit);
    browser.submit("/code/link", &[]).await;
    let page = browser.follow().await;
    assert!(page.words().contains("another one in 30 minutes"));
}

#[tokio::test]
async fn a_code_that_can_be_sent_comes_without_the_offer() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    browser
        .submit("/sign-in", &[ADA, ("password", PASSWORD)])
        .await;
    let page = browser.follow().await;
    assert!(!page.text.contains("action=\"/code/link\""));
}

#[tokio::test]
async fn link_password_number_and_code_sign_in() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    let link = format!("/link/{ENROLMENT_LINK}");
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
    browser
        .submit(
            "/enrol",
            &[("country", "FR"), ("mobile_number", "06 12 34 56 78")],
        )
        .await;
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
    let gateway = Gateway::start(true).await;
    let mut browser = past_the_link(&gateway).await;
    let number = [("country", "FR"), ("mobile_number", "06 12 34 56 78")];
    browser.submit("/enrol", &number).await;
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
    let gateway = Gateway::start(true).await;
    let mut browser = past_the_link(&gateway).await;
    let stale = Refusal::new(Code::FailedPrecondition, "password_confirmation_required");
    gateway
        .fakes
        .world()
        .refuse
        .insert("EnableTwoFactor", stale);
    let number = [("country", "FR"), ("mobile_number", "06 12 34 56 78")];
    let page = browser.submit("/enrol", &number).await;
    assert!(page.text.contains("id=\"password\""), "{}", page.text);
    assert_eq!(page.value("mobile_number").unwrap(), "06 12 34 56 78");
    let [country, number] = number;
    browser
        .submit("/enrol", &[country, number, ("password", PASSWORD)])
        .await;
    assert_eq!(gateway.fakes.details("ConfirmPassword").len(), 1);
    assert_eq!(browser.page.location(), "/code");
}

#[tokio::test]
async fn the_number_is_asked_only_where_a_link_was_used() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    browser
        .submit("/sign-in", &[ADA, ("password", PASSWORD)])
        .await;
    let page = browser.open("/enrol").await;
    assert_eq!(page.location(), "/account");
}
