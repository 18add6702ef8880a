//! Ending open sessions: from My account, and by the API.

use reqwest::StatusCode;
use sallyport_proto::identity::v1::SessionStage;
use serde_json::json;

use crate::api::Program;
use crate::browser::Gateway;
use crate::fakes::PASSWORD;
use crate::refusable::SIGNED_IN;
use crate::words::{LANGUAGES, say, term};

#[tokio::test]
async fn ending_sessions_asks_the_password_and_goes_on_by_itself() {
    for language in LANGUAGES {
        for session in ["e2", ""] {
            let gateway = Gateway::start(true).await;
            let mut browser = gateway.speaking(language, SIGNED_IN);
            browser.open("/account").await;
            let typed = [("session_id", session)];
            let page = browser.submit("/account/sessions", &typed).await;
            let to = page.location().to_owned();
            assert!(to.starts_with("/confirm?go=sessions."), "{to}");
            let words = browser.follow().await.words();
            let what = [("what", term(language, "go_sessions"))];
            let asked = say(language, "confirm_intro", &what);
            assert!(words.contains(&asked), "{words}");

            browser.submit("/confirm", &[("password", PASSWORD)]).await;
            let words = browser.follow().await.words();
            let done = say(language, "done_sessions", &[]);
            assert!(words.contains(&done), "{words}");
            let asked = gateway.fakes.details("RevokeSessions");
            assert_eq!(asked, [session, session], "the same, before and after");
        }
    }
}

/// An id that the page of the password could not carry on must not become "all others".
#[tokio::test]
async fn what_is_no_id_ends_no_session() {
    let gateway = Gateway::start(true).await;
    for typed in [
        "e2.",
        "all",
        "e2 e3",
        "00000000-0000-0000-0000-0000000000000",
    ] {
        let mut browser = gateway.signed_in();
        browser.open("/account").await;
        let typed = [("session_id", typed)];
        let page = browser.submit("/account/sessions", &typed).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
    }
    assert!(gateway.fakes.details("RevokeSessions").is_empty());
}

#[tokio::test]
async fn a_program_confirms_the_password_before_it_ends_sessions() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    let (status, body) = program.post("/sessions/revoke", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["reason"], "password_confirmation_required");

    let password = json!({ "password": PASSWORD });
    let (_, body) = program.post("/password/confirm", password).await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (status, body) = program.post("/sessions/revoke", json!({})).await;
    assert_eq!((status, &body["ended"]), (StatusCode::OK, &json!(1)));
}
