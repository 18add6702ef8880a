//! The authenticator app: on the way in, as a step-up, set up and taken away, all without script.

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::Purpose;
use tonic::Code;

use crate::browser::{Browser, Gateway};
use crate::fakes::{APP_CODE, APP_ENROLMENT, APP_SECRET, CODE, PASSWORD, RECOVERY_CODE};
use crate::refusable::{AWAITING, NOBODY, SIGNED_IN};
use crate::words::{LANGUAGES, say, term};

/// A gateway whose reader has an app beside the number.
async fn with_app() -> Gateway {
    let gateway = Gateway::start(true).await;
    gateway.fakes.world().authenticator = true;
    gateway
}

/// Signs in with the password, and goes on to the next step.
async fn past_the_password(gateway: &Gateway, language: &str) -> Browser {
    let mut browser = gateway.speaking(language, NOBODY);
    browser.give_password("/sign-in?next=%2Factivity").await;
    assert_eq!(browser.page.location(), "/authenticator?next=%2Factivity");
    browser.follow().await;
    browser
}

#[tokio::test]
async fn who_has_an_app_is_asked_for_its_code_and_no_message_is_sent() {
    for language in LANGUAGES {
        let gateway = with_app().await;
        let mut browser = past_the_password(&gateway, language).await;
        let words = browser.page.words();
        assert!(words.contains(&say(language, "authenticator_intro", &[])));
        for sent in ["SendSignInCode", "SendStepUpCode"] {
            assert!(gateway.fakes.details(sent).is_empty());
        }
        let code = browser.page.text.contains("autocomplete=\"one-time-code\"");
        assert!(code && browser.page.text.contains("inputmode=\"numeric\""));

        let page = browser
            .submit("/authenticator", &[("code", "271-828")])
            .await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        let wrong = say(language, "r_authenticator_wrong", &[]);
        assert_eq!(page.error_at("code"), wrong);
        assert!(!page.text.contains("271-828"), "no code is written back");

        let typed = [("code", " 314 159 "), ("remember_browser", "1")];
        browser.submit("/authenticator", &typed).await;
        assert_eq!(browser.page.location(), "/activity");
        assert_eq!(browser.cookies["__Host-browser"], "spb_browser");
        assert_eq!(browser.follow().await.status, StatusCode::OK);
        // What is done leaves no page behind.
        assert_eq!(browser.open("/authenticator").await.location(), "/account");
    }
}

#[tokio::test]
async fn the_apps_page_offers_every_other_way_and_the_code_page_the_app() {
    for language in LANGUAGES {
        let gateway = with_app().await;
        let mut browser = past_the_password(&gateway, language).await;
        for (path, key) in [
            ("/recovery?next=%2Factivity", "use_recovery_code"),
            ("/code?next=%2Factivity&#38;by=sms", "use_text_message"),
            ("/lost?next=%2Factivity", "lost_link"),
        ] {
            let text = term(language, key).replace('\'', "&#39;");
            let link = format!("<a href=\"{path}\">{text}</a>");
            assert!(
                browser.page.text.contains(&link),
                "{link}: {}",
                browser.page.text
            );
        }
        // Whatever else is opened leads back here; the message only where it was asked for.
        let page = browser.visit("/users").await;
        assert!(page.text.contains("action=\"/authenticator\""));
        browser.open("/code?next=%2Factivity&by=sms").await;
        browser.submit("/code/send", &[]).await;
        let page = browser.follow().await;
        assert!(
            page.text
                .contains("href=\"/authenticator?next=%2Factivity\"")
        );
        assert_eq!(gateway.fakes.details("SendSignInCode").len(), 1);
        browser.submit("/code", &[("code", CODE)]).await;
        assert_eq!(browser.page.location(), "/activity");
    }
}

#[tokio::test]
async fn without_a_number_no_message_is_offered_and_a_lost_phone_leads_to_the_app() {
    let gateway = with_app().await;
    let mut browser = past_the_password(&gateway, "en").await;
    browser.open("/lost").await;
    browser.submit("/lost", &[]).await;
    let page = browser.follow().await;
    assert!(page.words().contains(&say("en", "lost_done", &[])));
    assert!(page.text.contains("action=\"/authenticator\""));
    assert!(!page.text.contains("by=sms") && !page.text.contains("href=\"/lost"));
    // Also where a message is asked for by hand.
    let page = browser.visit("/code?by=sms").await;
    assert!(page.text.contains("action=\"/authenticator\""));
    let refusal = Refusal::new(Code::FailedPrecondition, "two_factor.no_number");
    gateway.fakes.refuse("SendSignInCode", refusal);
    browser.submit("/code/send", &[]).await;
    let page = browser.follow().await;
    assert_eq!(page.alert(), say("en", "r_two_factor_no_number", &[]));
    let page = browser
        .submit("/authenticator", &[("code", APP_CODE)])
        .await;
    assert_eq!(page.location(), "/account");
}

#[tokio::test]
async fn an_app_that_is_gone_meanwhile_leads_to_the_code_page_which_says_why() {
    let gateway = with_app().await;
    let mut browser = gateway.speaking("en", AWAITING);
    browser.open("/authenticator").await;
    gateway.fakes.world().authenticator = false;
    browser
        .submit("/authenticator", &[("code", APP_CODE)])
        .await;
    let page = browser.follow().await;
    assert_eq!(page.alert(), say("en", "r_authenticator_not_active", &[]));
    assert!(page.text.contains("action=\"/code/send\""));
}

/// The page on which an app is set up: by picture, by text and by link.
fn shows_the_seed(browser: &Browser, language: &str) {
    let page = &browser.page;
    let words = page.words();
    assert!(
        words.contains(&say(language, "setup_title", &[])),
        "{words}"
    );
    assert!(words.contains("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"));
    assert!(page.text.contains("<svg class=\"qr\" viewBox=\"0 0 "));
    assert!(page.text.contains("<path d=\"M4 4h1v1h-1z"));
    let picture = term(language, "setup_picture").replace('\'', "&#39;");
    assert!(page.text.contains(&format!("aria-label=\"{picture}\"")));
    let address = "href=\"otpauth://totp/Sallyport:ada%40example.org?secret=";
    assert!(page.text.contains(address), "{}", page.text);
    assert_eq!(page.value("secret").unwrap(), APP_SECRET);
    for inline in [" style=", "<style", "<script>"] {
        assert!(!page.text.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn an_app_is_set_up_by_picture_or_text_and_proved_by_a_code() {
    for language in LANGUAGES {
        let gateway = Gateway::start(false).await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        let page = browser.open("/account").await;
        let note = say(language, "authenticator_note", &[]);
        assert!(page.words().contains(&note));
        browser.submit("/account/authenticator", &[]).await;
        assert!(
            browser
                .page
                .location()
                .starts_with("/confirm?go=authenticator.")
        );
        let what = term(language, "go_authenticator");
        let asked = say(language, "confirm_intro", &[("what", what)]);
        assert!(browser.follow().await.words().contains(&asked));
        let page = browser.submit("/confirm", &[("password", PASSWORD)]).await;
        assert_eq!(page.status, StatusCode::OK);
        shows_the_seed(&browser, language);

        // A mistyped code is typed again, with the same seed.
        let begun = [("secret", APP_SECRET), ("enrolment", APP_ENROLMENT)];
        let to = "/account/authenticator/confirm";
        for (typed, key) in [
            ("12 34", "r_code_format"),
            ("271828", "r_authenticator_wrong"),
        ] {
            let page = browser
                .submit(to, &[begun[0], begun[1], ("code", typed)])
                .await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(page.error_at("code"), say(language, key, &[]));
            shows_the_seed(&browser, language);
        }
        let old = browser.cookies["__Host-session"].clone();
        let page = browser
            .submit(to, &[begun[0], begun[1], ("code", APP_CODE)])
            .await;
        assert_eq!(page.text.matches("<li><code>").count(), 10);
        assert!(!page.text.contains(APP_SECRET));
        assert_ne!(browser.cookies["__Host-session"], old);
        assert_eq!(gateway.fakes.details("BeginAuthenticator").len(), 2);
        gateway.fakes.world().confirmed_number.clear();
        let page = browser.open("/account").await;
        assert!(page.words().contains(&say(language, "factor_by_app", &[])));
        assert!(page.words().contains(term(language, "authenticator_since")));
        assert!(page.picked("two_factor").is_some());
    }
}

#[tokio::test]
async fn where_there_is_a_factor_it_is_asked_before_an_app_is_set_up_or_replaced() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.speaking("en", SIGNED_IN);
    browser.open("/account").await;
    browser.submit("/account/authenticator", &[]).await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    assert!(
        browser
            .page
            .location()
            .starts_with("/code?go=authenticator.")
    );
    assert_eq!(gateway.fakes.details("SendStepUpCode").len(), 1);
    browser.follow().await;
    browser.submit("/code", &[("code", CODE)]).await;
    shows_the_seed(&browser, "en");
    let typed = [
        ("secret", APP_SECRET),
        ("enrolment", APP_ENROLMENT),
        ("code", APP_CODE),
    ];
    browser
        .submit("/account/authenticator/confirm", &typed)
        .await;
    assert_eq!(browser.page.location(), "/account?done=authenticator");
    let page = browser.follow().await;
    assert!(page.words().contains(&say("en", "done_authenticator", &[])));

    // From now on the app is asked, and it takes itself away.
    gateway.fakes.world().second_factor_fresh = false;
    browser.submit("/account/authenticator/remove", &[]).await;
    assert!(
        browser
            .page
            .location()
            .starts_with("/authenticator?go=no-authenticator.")
    );
    browser.follow().await;
    assert!(!browser.page.text.contains("remember_browser"));
    browser
        .submit("/authenticator", &[("code", APP_CODE)])
        .await;
    let done = "/account?done=authenticator_removed";
    assert_eq!(browser.page.location(), done);
    let page = browser.follow().await;
    let removed = say("en", "done_authenticator_removed", &[]);
    assert!(page.words().contains(&removed));
    assert_eq!(gateway.fakes.details("SendStepUpCode").len(), 1);
    assert!(!gateway.fakes.world().authenticator);
}

#[tokio::test]
async fn a_recovery_code_stands_for_the_app_as_for_the_message() {
    let gateway = with_app().await;
    let mut browser = gateway.speaking("en", SIGNED_IN);
    browser.open("/account").await;
    browser.submit("/account/recovery-codes", &[]).await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    let to = browser
        .page
        .location()
        .replace("/authenticator", "/recovery");
    browser.follow().await;
    browser.open(&to).await;
    let page = browser
        .submit("/recovery", &[("recovery_code", RECOVERY_CODE)])
        .await;
    assert_eq!(page.text.matches("<li><code>").count(), 10);
}

#[tokio::test]
async fn what_was_begun_too_long_ago_is_told_on_my_account() {
    for language in LANGUAGES {
        let gateway = with_app().await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        browser.open("/account").await;
        let to = "/account/authenticator/confirm";
        // Nor is what never was a seed shown again.
        for (secret, enrolment, code, key) in [
            (
                APP_SECRET,
                "another",
                APP_CODE,
                "r_authenticator_enrolment_ended",
            ),
            ("<b>", APP_ENROLMENT, "271828", "r_authenticator_wrong"),
        ] {
            let typed = [("secret", secret), ("enrolment", enrolment), ("code", code)];
            browser.submit(to, &typed).await;
            assert!(!browser.page.location().contains(APP_SECRET));
            let page = browser.follow().await;
            assert_eq!(page.alert(), say(language, key, &[]));
            assert!(!page.text.contains("<b>"));
        }
    }
}

#[tokio::test]
async fn the_only_factor_is_switched_off_by_its_box_and_a_number_is_added_by_its_button() {
    let gateway = with_app().await;
    gateway.fakes.world().confirmed_number.clear();
    gateway.fakes.world().second_factor_fresh = true;
    let mut browser = gateway.speaking("en", SIGNED_IN);
    browser.open("/account").await;
    browser.submit("/account/authenticator/remove", &[]).await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    let page = browser.follow().await;
    let last = say("en", "r_authenticator_last_factor", &[]);
    assert_eq!(page.alert(), last);
    // A Save with another number sends nothing; the button beside the number does.
    let typed =
        crate::account::filled(&[("two_factor", "1"), ("mobile_number", "+1 514 555 0142")]);
    browser.submit("/account", &typed).await;
    assert_eq!(browser.page.location(), "/account?done=saved");
    browser.follow().await;
    browser.submit("/account/number", &[]).await;
    assert_eq!(browser.page.location(), "/code");
    assert_eq!(gateway.fakes.details("EnableTwoFactor").len(), 1);
    assert!(gateway.fakes.details("ChangeNumber").is_empty());
    let purpose = gateway.fakes.world().challenge.clone().unwrap().purpose();
    assert_eq!(purpose, Purpose::Enrolment);
}
