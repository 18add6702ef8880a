//! Passkeys: on the way in, as a step-up, added, named and taken away. What a browser with script does
//! is done by hand here: the answer is put into the form's hidden field.

use reqwest::StatusCode;
use sallyport_proto::identity::v1::SessionStage;
use serde_json::json;

use crate::api::Program;
use crate::browser::{Browser, Gateway};
use crate::fakes::{CEREMONY, CODE, CREDENTIAL, PASSKEY_OPTIONS, PASSWORD};
use crate::refusable::{AWAITING, NOBODY, SIGNED_IN};
use crate::words::{LANGUAGES, say, term};

const ADA: (&str, &str) = ("email", "ada@example.org");
const ANSWER: [(&str, &str); 2] = [("ceremony", CEREMONY), ("credential", CREDENTIAL)];

/// A gateway whose reader has a passkey beside the number.
async fn with_passkey() -> Gateway {
    let gateway = Gateway::start(true).await;
    gateway.fakes.world().passkeys = vec![("a0".to_owned(), "Laptop".to_owned())];
    gateway
}

/// Signs in with the password, and goes on to the next step.
async fn past_the_password(gateway: &Gateway, language: &str) -> Browser {
    let mut browser = gateway.speaking(language, NOBODY);
    browser.open("/sign-in?next=%2Factivity").await;
    browser
        .submit("/sign-in", &[ADA, ("password", PASSWORD)])
        .await;
    assert_eq!(browser.page.location(), "/passkey?next=%2Factivity");
    browser.follow().await;
    browser
}

/// The form that `passkey.js` fills in, and that says what it needs where there is no script.
fn asks_for_a_passkey(browser: &Browser, language: &str, kind: &str) {
    let text = &browser.page.text;
    assert!(
        text.contains(&format!("data-passkey=\"{kind}\"")),
        "{kind}: {text}"
    );
    let options = PASSKEY_OPTIONS.replace('"', "&#34;");
    assert!(text.contains(&format!("data-options=\"{options}\"")));
    assert_eq!(browser.page.value("ceremony").unwrap(), CEREMONY);
    let without = term(language, "passkey_needs_script").replace('\'', "&#39;");
    let without = format!("<noscript><p class=\"warning\">{without}</p></noscript>");
    assert!(text.contains(&without), "{text}");
    assert!(text.contains("/passkey.js\" defer"));
    for inline in [" style=", "<style", "<script>", "onclick"] {
        assert!(!text.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn who_has_a_passkey_is_asked_for_it_and_no_message_is_sent() {
    for language in LANGUAGES {
        let gateway = with_passkey().await;
        gateway.fakes.world().authenticator = true;
        let mut browser = past_the_password(&gateway, language).await;
        asks_for_a_passkey(&browser, language, "get");
        assert!(gateway.fakes.details("SendSignInCode").is_empty());
        for (path, key) in [
            ("/recovery?next=%2Factivity", "use_recovery_code"),
            ("/authenticator?next=%2Factivity", "use_authenticator"),
            ("/code?next=%2Factivity&#38;by=sms", "use_text_message"),
            ("/lost?next=%2Factivity", "lost_link"),
        ] {
            let link = term(language, key).replace('\'', "&#39;");
            let link = format!("<a href=\"{path}\">{link}</a>");
            assert!(browser.page.text.contains(&link), "{link}");
        }

        // Sent without script, the form has no answer in it.
        let page = browser.submit("/passkey", &[("ceremony", CEREMONY)]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(page.alert(), say(language, "r_passkey_format", &[]));
        let wrong = [ANSWER[0], ("credential", "{\"id\":\"wrong\"}")];
        let page = browser.submit("/passkey", &wrong).await;
        assert_eq!(page.alert(), say(language, "r_passkey_wrong", &[]));
        asks_for_a_passkey(&browser, language, "get");

        let right = [ANSWER[0], ANSWER[1], ("remember_browser", "1")];
        browser.submit("/passkey", &right).await;
        assert_eq!(browser.page.location(), "/activity");
        assert_eq!(browser.cookies["__Host-browser"], "spb_browser");
        assert_eq!(browser.follow().await.status, StatusCode::OK);
        // What is done leaves no page behind.
        assert_eq!(browser.open("/passkey").await.location(), "/account");
    }
}

#[tokio::test]
async fn without_script_the_other_ways_are_open_and_offer_the_passkey() {
    let gateway = with_passkey().await;
    gateway.fakes.world().authenticator = true;
    let mut browser = past_the_password(&gateway, "en").await;
    let page = browser.visit("/authenticator?next=%2Factivity").await;
    let link = "href=\"/passkey?next=%2Factivity\"";
    assert!(page.text.contains(link), "{}", page.text);
    browser.open("/code?next=%2Factivity&by=sms").await;
    browser.submit("/code/send", &[]).await;
    let page = browser.follow().await;
    assert!(page.text.contains("href=\"/passkey"), "{}", page.text);
    assert_eq!(gateway.fakes.details("SendSignInCode").len(), 1);
    browser.submit("/code", &[("code", CODE)]).await;
    assert_eq!(browser.follow().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_lost_phone_leads_to_the_passkey() {
    let gateway = with_passkey().await;
    let mut browser = past_the_password(&gateway, "en").await;
    browser.open("/lost").await;
    browser.submit("/lost", &[]).await;
    let page = browser.follow().await;
    assert!(page.words().contains(&say("en", "lost_done", &[])));
    assert!(page.text.contains("action=\"/passkey\""));
    assert!(!page.text.contains("by=sms") && !page.text.contains("href=\"/lost"));
}

#[tokio::test]
async fn a_passkey_that_is_gone_meanwhile_leads_to_the_code_page() {
    let gateway = with_passkey().await;
    let mut browser = gateway.speaking("en", AWAITING);
    browser.open("/passkey").await;
    gateway.fakes.world().passkeys.clear();
    let wrong = [ANSWER[0], ("credential", "{}")];
    browser.submit("/passkey", &wrong).await;
    let page = browser.follow().await;
    assert_eq!(page.alert(), say("en", "r_passkey_wrong", &[]));
    assert!(page.text.contains("action=\"/code/send\""));
}

#[tokio::test]
async fn a_passkey_is_added_under_the_browsers_name_and_switches_2fa_on() {
    for language in LANGUAGES {
        let gateway = Gateway::start(false).await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        let page = browser.open("/account").await;
        assert!(page.text.contains("href=\"/account/passkeys\""));
        let page = browser.open("/account/passkeys").await;
        let none = say(language, "passkeys_none", &[]);
        assert!(page.words().contains(&none));
        browser.submit("/account/passkeys", &[]).await;
        let to = browser.page.location();
        assert!(to.starts_with("/confirm?go=passkey."), "{to}");
        let what = term(language, "go_passkey");
        let asked = say(language, "confirm_intro", &[("what", what)]);
        assert!(browser.follow().await.words().contains(&asked));
        let page = browser.submit("/confirm", &[("password", PASSWORD)]).await;
        assert_eq!(page.status, StatusCode::OK);
        let named = page.value("name").unwrap();
        assert!(!named.is_empty());
        asks_for_a_passkey(&browser, language, "create");

        let made = [ANSWER[0], ANSWER[1], ("name", named.as_str())];
        let page = browser.submit("/account/passkeys/confirm", &made).await;
        assert_eq!(page.text.matches("<li><code>").count(), 10);
        assert_eq!(
            gateway.fakes.details("ConfirmPasskey"),
            std::slice::from_ref(&named)
        );
        let page = browser.open("/account/passkeys").await;
        assert!(page.text.contains(&format!("<strong>{named}</strong>")));
        let copied = say(language, "passkey_backed_up", &[]);
        assert!(page.words().contains(&copied));
        gateway.fakes.world().confirmed_number.clear();
        let page = browser.open("/account").await;
        let by = say(language, "factor_by_passkey", &[]);
        assert!(page.words().contains(&by));
        let count = say(language, "passkeys_count", &[("n", "1")]);
        assert!(page.words().contains(&count));
    }
}

#[tokio::test]
async fn a_passkey_is_renamed_and_removed_and_gives_the_step_up_for_that_itself() {
    let gateway = with_passkey().await;
    let mut browser = gateway.speaking("en", SIGNED_IN);
    browser.open("/account/passkeys").await;
    let named = [("passkey_id", "a0"), ("name", "Desk")];
    browser.submit("/account/passkeys/rename", &named).await;
    let page = browser.follow().await;
    let done = say("en", "done_passkey_renamed", &[]);
    assert!(page.words().contains(&done));
    assert!(page.text.contains("<strong>Desk</strong>"));
    let other = [("passkey_id", "a9"), ("name", "Desk")];
    browser.submit("/account/passkeys/rename", &other).await;
    let page = browser.follow().await;
    assert_eq!(page.alert(), say("en", "r_passkey_not_found", &[]));

    browser
        .submit("/account/passkeys/remove", &[("passkey_id", "a0")])
        .await;
    browser.follow().await;
    browser.submit("/confirm", &[("password", PASSWORD)]).await;
    let to = browser.page.location().to_owned();
    assert!(to.starts_with("/passkey?go=no-passkey."), "{to}");
    let page = browser.follow().await;
    assert!(!page.text.contains("remember_browser"));
    browser.submit("/passkey", &ANSWER).await;
    assert_eq!(browser.page.location(), "/account/passkeys?done=removed");
    let page = browser.follow().await;
    let done = say("en", "done_passkey_removed", &[]);
    assert!(page.words().contains(&done));
    assert!(gateway.fakes.details("SendStepUpCode").is_empty());
    assert_eq!(gateway.fakes.details("RemovePasskey").last().unwrap(), "a0");
    assert!(gateway.fakes.world().passkeys.is_empty());
}

#[tokio::test]
async fn a_program_adds_uses_renames_and_removes_a_passkey() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    gateway.fakes.world().second_factor_fresh = true;
    let password = json!({"password": PASSWORD});
    let (_, body) = program.post("/password/confirm", password).await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (status, begun) = program.post("/two-factor/passkeys", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(begun["options"], PASSKEY_OPTIONS);
    let confirm = "/two-factor/passkeys/confirm";
    let mut made = json!({
        "ceremony_id": begun["ceremony_id"], "credential": "{}", "name": "Laptop"
    });
    let (status, refused) = program.post(confirm, made.clone()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        refused["error"]["fields"],
        json!([{"field": "credential", "reason": "passkey.wrong"}])
    );
    made["credential"] = CREDENTIAL.into();
    let (_, body) = program.post(confirm, made).await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (_, body) = program.get("/two-factor").await;
    let id = body["passkeys"][0]["passkey_id"].clone();
    assert_eq!(body["passkeys"][0]["name"], "Laptop");
    let named = json!({"passkey_id": id, "name": "Desk"});
    let (status, _) = program.post("/two-factor/passkeys/rename", named).await;
    assert_eq!(status, StatusCode::NO_CONTENT);

    let signed_in = program.token.clone();
    program.token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
    let (_, body) = program.get("/code/factors").await;
    assert_eq!(body["passkey"], true);
    let (_, begun) = program.post("/code/passkey", json!({})).await;
    let given = json!({
        "ceremony_id": begun["ceremony_id"], "credential": CREDENTIAL, "remember_browser": true
    });
    let (_, body) = program.post("/code/passkey/use", given).await;
    assert_eq!(body["browser_token"], "spb_browser");

    program.token = signed_in;
    let remove = "/two-factor/passkeys/remove";
    let (status, _) = program.post(remove, json!({"passkey_id": id})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(gateway.fakes.world().passkeys.is_empty());
}
