//! "My phone is lost", from the code page.

use reqwest::StatusCode;
use sallyport_proto::identity::v1::{Purpose, SessionStage};

use crate::browser::Gateway;
use crate::refusable::{AWAITING, SIGNED_IN};
use crate::words::{LANGUAGES, say, term};

#[tokio::test]
async fn a_lost_phone_is_reported_from_the_code_page_after_its_effects_were_told() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let other = gateway.fakes.session(SessionStage::SignedIn);
        let mut browser = gateway.speaking(language, AWAITING);
        gateway.fakes.world().send(Purpose::SignIn);
        let page = browser.open("/code?next=%2Factivity").await;
        let link = format!(
            "<a href=\"/lost?next=%2Factivity\">{}</a>",
            term(language, "lost_link").replace('\'', "&#39;")
        );
        assert!(page.text.contains(&link), "{}", page.text);

        let page = browser.open("/lost?next=%2Factivity").await;
        assert_eq!(page.status, StatusCode::OK);
        for key in ["lost_codes", "lost_sessions", "lost_told", "lost_ways"] {
            assert!(page.words().contains(&say(language, key, &[])), "{key}");
        }
        assert!(gateway.fakes.details("ReportPhoneLost").is_empty());
        assert!(
            gateway.fakes.world().challenge.is_some(),
            "a look ends nothing"
        );

        browser.submit("/lost", &[]).await;
        let page = browser.follow().await;
        assert_eq!(gateway.fakes.details("ReportPhoneLost").len(), 1);
        assert!(page.words().contains(&say(language, "lost_done", &[])));
        // What is left: a link by mail, and a recovery code; where the reader wanted to go is kept.
        assert!(page.text.contains("action=\"/code/link\""));
        assert!(page.text.contains("href=\"/recovery?next=%2Factivity\""));
        assert!(!page.text.contains("action=\"/code/send\""));
        assert!(!page.text.contains("href=\"/lost"));
        assert!(!gateway.fakes.world().sessions.contains_key(&other));
    }
}

#[tokio::test]
async fn a_code_that_is_no_sign_in_offers_no_report() {
    let gateway = Gateway::start(true).await;
    for purpose in [Purpose::StepUp, Purpose::Enrolment, Purpose::NumberChange] {
        gateway.fakes.world().send(purpose);
        let mut browser = gateway.speaking("en", SIGNED_IN);
        let page = browser.open("/code").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text.contains("href=\"/lost"), "{purpose:?}");
    }
    let mut browser = gateway.speaking("en", SIGNED_IN);
    assert_eq!(browser.open("/lost").await.location(), "/account");
}
