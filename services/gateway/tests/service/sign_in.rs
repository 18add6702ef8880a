//! Signing in, and what stands before it.

use std::time::Duration;

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::{Purpose, SessionStage};
use tonic::Code;

use crate::browser::{ADA, Gateway};
use crate::fakes::{LINK, PASSWORD, RECOVERY_CODE};
use crate::refusable::AWAITING;
use crate::words::{LANGUAGES, say};

#[tokio::test]
async fn without_a_session_every_page_leads_to_sign_in_and_back() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    for path in [
        "/account",
        "/users",
        "/activity",
        "/code",
        "/licences",
        "/domains",
        "/recovery",
        "/authenticator",
        "/passkey",
        "/account/passkeys",
        "/lost",
    ] {
        let page = browser.open(path).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert!(
            page.location().starts_with("/sign-in?next="),
            "{path}: {}",
            page.location()
        );
    }
    browser.visit("/users?search=a").await;
    browser
        .submit("/sign-in", &[ADA, ("password", PASSWORD)])
        .await;
    assert_eq!(browser.page.location(), "/users?search=a");
}

#[tokio::test]
async fn an_expired_session_says_so_and_its_cookie_goes() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    browser
        .cookies
        .insert("__Host-session".into(), "sps_old".into());
    let page = browser.visit("/account").await;
    assert!(page.words().contains("Your session has ended"));
    assert!(!browser.cookies.contains_key("__Host-session"));
}

/// A page of sign-in was left open while the browser signed in by another.
#[tokio::test]
async fn signing_in_again_ends_the_session_that_the_browser_had() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    let former = gateway.fakes.session(SessionStage::SignedIn);
    let cookie = "__Host-session".to_owned();
    browser.cookies.insert(cookie, former.clone());
    browser
        .submit("/sign-in", &[ADA, ("password", PASSWORD)])
        .await;
    let new = &browser.cookies["__Host-session"];
    let world = gateway.fakes.world();
    assert!(world.sessions.contains_key(new));
    assert!(!world.sessions.contains_key(&former));
}

#[tokio::test]
async fn passwords_are_masked_and_left_to_the_browsers_helpers() {
    let gateway = Gateway::start(true).await;
    let link = format!("/link/{LINK}");
    let (present, new) = ("current-password", "new-password");
    for (path, stage, helpers) in [
        ("/sign-in", None, vec![present]),
        (link.as_str(), None, vec![new, new]),
        (
            "/account/password",
            Some(SessionStage::SignedIn),
            vec![present, new, new],
        ),
    ] {
        let mut browser = gateway.speaking("en", stage);
        let page = browser.open(path).await;
        let fields: Vec<&str> = page
            .text
            .split('<')
            .filter(|tag| tag.starts_with("input") && tag.contains("password"))
            .collect();
        assert_eq!(fields.len(), helpers.len(), "{path}: {fields:?}");
        for (field, helper) in fields.iter().zip(helpers) {
            let helped = format!(" autocomplete=\"{helper}\"");
            assert!(field.contains(" type=\"password\""), "{path}: {field}");
            assert!(field.contains(&helped), "{path}: {field}");
            assert!(!field.contains(" value="), "{path}: {field}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_keeps_the_address_and_not_the_password() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    let page = browser
        .submit("/sign-in", &[ADA, ("password", "hunter2hunter2")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(page.value("email").unwrap(), "ada@example.org");
    assert!(!page.text.contains("hunter2"));
    assert!(
        page.words()
            .contains("The email or the password is not right.")
    );
    let page = browser.submit("/sign-in", &[ADA, ("password", "")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.text.contains("href=\"#password\""),
        "the summary links to the field"
    );
    assert!(page.text.contains("aria-describedby=\"password-error\""));
    assert_eq!(gateway.fakes.details("SignIn").len(), 1);
}

#[tokio::test]
async fn a_delay_is_told_with_its_time() {
    let gateway = Gateway::start(false).await;
    let delayed = Refusal::new(Code::ResourceExhausted, "sign_in.delayed")
        .retry_after(Duration::from_secs(30));
    gateway.fakes.world().refuse.insert("SignIn", delayed);
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    let page = browser.submit("/sign-in", &[ADA, ("password", "x")]).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(page.headers["retry-after"], "30");
    assert!(page.words().contains("Try again in 30 seconds"));
}

#[tokio::test]
async fn password_and_code_sign_in_and_each_step_replaces_the_token() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.give_password("/sign-in?next=/activity").await;
    let first = browser.cookies["__Host-session"].clone();
    assert_eq!(browser.page.location(), "/code?next=%2Factivity");
    assert_eq!(gateway.fakes.details("SendSignInCode")[0].len(), 32);
    let page = browser.follow().await;
    let words = page.words();
    assert!(
        words.contains("••&nbsp;23") && words.contains("KTR"),
        "{words}"
    );
    assert!(!page.text.contains("5550123"), "only the last two digits");
    assert!(page.text.contains("autocomplete=\"one-time-code\""));
    assert!(page.text.contains("inputmode=\"numeric\""));
    let page = browser.submit("/code", &[("code", "000000")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.words().contains("That code is not right."));
    assert!(
        !page.text.contains("000000"),
        "a code is never written back"
    );
    let page = browser
        .submit("/code", &[("code", "0421 37"), ("remember_browser", "1")])
        .await;
    assert_eq!(page.location(), "/activity");
    assert_ne!(browser.cookies["__Host-session"], first);
    assert_eq!(browser.cookies["__Host-browser"], "spb_browser");
    assert_eq!(browser.follow().await.status, StatusCode::OK);
}

#[tokio::test]
async fn tries_are_told_from_the_third_wrong_one_on() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.give_password("/sign-in").await;
    browser.follow().await;
    for wrong in ["000001", "000002"] {
        let words = browser.submit("/code", &[("code", wrong)]).await.words();
        assert!(!words.contains("tries left"), "{words}");
    }
    let words = browser.submit("/code", &[("code", "000003")]).await.words();
    assert!(words.contains("You have 2 tries left"), "{words}");
}

#[tokio::test]
async fn a_spent_quota_leaves_the_recovery_code_open() {
    let gateway = Gateway::start(true).await;
    let spent =
        Refusal::new(Code::ResourceExhausted, "sms.quota").retry_after(Duration::from_secs(1_800));
    gateway.fakes.world().refuse.insert("SendSignInCode", spent);
    let mut browser = gateway.browser();
    browser.give_password("/sign-in").await;
    let words = browser.follow().await.words();
    assert!(
        words.contains("30 minutes") && words.contains("Use a recovery code"),
        "{words}"
    );
    browser.open("/recovery").await;
    let page = browser
        .submit("/recovery", &[("recovery_code", "wrong")])
        .await;
    assert!(page.words().contains("That recovery code is not right"));
    browser
        .submit("/recovery", &[("recovery_code", RECOVERY_CODE)])
        .await;
    let words = browser.follow().await.words();
    assert!(
        words.contains("You have only 2 recovery codes left"),
        "{words}"
    );
}

#[tokio::test]
async fn resend_tells_when_it_is_too_early() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.give_password("/sign-in").await;
    browser.follow().await;
    let early = Refusal::new(Code::ResourceExhausted, "code.resend_too_early")
        .retry_after(Duration::from_secs(42));
    gateway.fakes.world().refuse.insert("ResendCode", early);
    browser.submit("/code/resend", &[]).await;
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("again in 42 seconds")
    );
    browser.submit("/code/resend", &[]).await;
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("Either message works")
    );
}

/// The page says so itself; its script starts from the same count.
#[tokio::test]
async fn a_code_that_cannot_be_sent_again_says_so() {
    for language in LANGUAGES {
        for (left, spent) in [(2, false), (0, true)] {
            let gateway = Gateway::start(true).await;
            let mut browser = gateway.speaking(language, AWAITING);
            {
                let mut world = gateway.fakes.world();
                world.send(Purpose::SignIn);
                world.challenge.as_mut().unwrap().sends_left = left;
            }
            let page = browser.open("/code").await;
            let count = format!(" data-sends-left=\"{left}\"");
            assert!(page.text.contains(&count), "{}", page.text);
            let button = page
                .text
                .split('<')
                .find(|tag| tag.contains(" id=\"resend\""));
            assert_eq!(button.unwrap().contains(" disabled>"), spent);
            let sentence = page
                .text
                .split('<')
                .find(|tag| tag.contains(" id=\"spent\""));
            assert_eq!(sentence.unwrap().contains(" hidden>"), !spent);
            let told = say(language, "r_code_no_sends_left", &[]);
            assert!(page.words().contains(&told), "{}", page.words());
        }
    }
}

#[tokio::test]
async fn the_state_of_the_message_is_framed_and_streamed() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.give_password("/sign-in").await;
    let page = browser.open("/code/state").await;
    assert!(page.text.contains("http-equiv=\"refresh\""));
    assert!(page.words().contains("The message is with the carrier."));
    let page = browser.open("/code/events").await;
    assert_eq!(page.headers["content-type"], "text/event-stream");
    let events: Vec<_> = page
        .text
        .lines()
        .filter(|l| l.starts_with("event:"))
        .collect();
    assert_eq!(events, ["event: state", "event: state", "event: end"]);
    assert!(page.text.contains("delivered to your phone"));
    assert!(!page.text.contains("5550123"));
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.signed_in();
    browser.open("/account").await;
    browser.submit("/sign-out", &[]).await;
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("You are signed out.")
    );
    assert!(!browser.cookies.contains_key("__Host-session"));
    assert!(gateway.fakes.world().sessions.is_empty());
}

#[tokio::test]
async fn an_invitation_sets_a_password_in_the_persons_language_and_signs_nobody_in() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    let path = format!("/link/{LINK}");
    let page = browser.open(&path).await;
    assert!(page.text.contains("lang=\"fr-CA\"") && page.words().contains("Bienvenue"));
    let page = browser
        .submit(&path, &[("password", "court"), ("password_again", "autre")])
        .await;
    assert!(page.words().contains("Les deux mots de passe diffèrent."));
    let page = browser
        .submit(&path, &[("password", "court"), ("password_again", "court")])
        .await;
    assert!(
        page.words().contains("au moins 15 caractères"),
        "{}",
        page.words()
    );
    let long = "quatre mots bien choisis";
    browser
        .submit(&path, &[("password", long), ("password_again", long)])
        .await;
    assert_eq!(browser.page.location(), "/sign-in?done=password");
    assert!(!browser.cookies.contains_key("__Host-session"));
    let page = browser.open("/link/spl_bad").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_forgotten_password_gives_the_same_answer_for_every_address() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    let mut pages = Vec::new();
    for email in ["ada@example.org", "nobody@example.org"] {
        browser.open("/forgot").await;
        browser.submit("/forgot", &[("email", email)]).await;
        pages.push(browser.follow().await.words());
    }
    assert_eq!(pages[0], pages[1]);
    assert!(pages[0].contains("If we know this address"));
}

#[tokio::test]
async fn address_browser_and_request_id_travel_to_the_services() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    let request = browser
        .form("/sign-in", &[ADA, ("password", PASSWORD)])
        .header("user-agent", "Firefox/150")
        .header("x-forwarded-for", "203.0.113.9");
    let id = browser.send(request).await.headers["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let world = gateway.fakes.world();
    let call = world.calls.iter().find(|c| c.rpc == "SignIn").unwrap();
    assert_eq!(
        call.metadata["x-client-ip"], "127.0.0.1",
        "the socket, as no proxy is trusted"
    );
    assert_eq!(call.metadata["x-user-agent"], "Firefox/150");
    assert_eq!(call.metadata["x-request-id"], id);
    assert!(!call.metadata.contains_key("authorization"));
    let send = world
        .calls
        .iter()
        .find(|c| c.rpc == "SendSignInCode")
        .unwrap();
    assert!(send.metadata["authorization"].starts_with("Bearer sps_"));
}
