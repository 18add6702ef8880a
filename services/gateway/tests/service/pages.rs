//! Administration, languages, and pages that are not there.

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_chassis::config::Profile;
use sallyport_proto::identity::v1::SessionStage;
use tonic::Code;

use crate::browser::Gateway;
use crate::fakes::Fakes;
use crate::words::TABLE;

#[tokio::test]
async fn users_are_listed_searched_and_escaped() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let page = browser.open("/users").await;
    assert!(page.words().contains("Benoît Tremblay") && page.words().contains("Manage licence"));
    assert!(!page.text.contains("<script>alert"), "a name is text");
    assert!(page.text.contains("/users?page=page-2"));
    let page = browser.open("/users?search=zz").await;
    assert!(page.words().contains("starts with “zz”") && page.words().contains("Show everybody"));
    assert_eq!(page.value("search").unwrap(), "zz");
}

#[tokio::test]
async fn a_user_is_added_and_the_link_shown_once() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    browser.open("/users/add").await;
    let typed = [
        ("email", "eve@elsewhere.example"),
        ("locale", "fr"),
        ("time_zone", "America/Toronto"),
    ];
    let page = browser.submit("/users/add", &typed).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.words()
            .contains("is not approved for your organisation")
    );
    assert_eq!(page.value("email").unwrap(), "eve@elsewhere.example");
    assert!(page.text.contains("<option value=\"fr\" selected"));
    let typed = [
        ("email", " Eve@Example.ORG "),
        ("locale", "fr"),
        ("time_zone", "America/Toronto"),
    ];
    let page = browser.submit("/users/add", &typed).await;
    let words = page.words();
    assert!(words.contains("eve@example.org is invited."), "{words}");
    assert!(!words.contains("Eve@"), "as it is stored: {words}");
    assert!(page.text.contains("/link/spl_invitation"));
    let keys = gateway.fakes.details("AddUser");
    assert!(
        keys.len() == 2 && keys[0] != keys[1],
        "another content, another key"
    );
}

#[tokio::test]
async fn manage_licence_lists_plans_with_seats_and_the_present_one() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let page = browser.open("/users/u2/licence").await;
    assert!(
        page.text.contains("value=\"p1\" checked"),
        "the present one, though it is full"
    );
    assert!(page.text.contains("value=\"p2\"") && !page.text.contains("value=\"p3\""));
    let none = Refusal::new(Code::FailedPrecondition, "licence.none_available");
    gateway.fakes.world().refuse.insert("AssignLicence", none);
    let page = browser
        .submit("/users/u2/licence", &[("plan_id", "p2")])
        .await;
    assert!(page.words().contains("This plan has no seat left."));
    assert!(
        page.text.contains("value=\"p2\" checked"),
        "what was chosen stays"
    );
    browser
        .submit("/users/u2/licence", &[("plan_id", "p2")])
        .await;
    assert!(
        browser
            .follow()
            .await
            .words()
            .contains("The licence is saved.")
    );
    assert_eq!(gateway.fakes.details("AssignLicence"), ["u2 p2", "u2 p2"]);
}

#[tokio::test]
async fn logs_domains_and_licences_are_read() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let words = browser.open("/users/u2/logs").await.words();
    assert!(
        words.contains("Security events of Benoît Tremblay") && words.contains("2FA switched on")
    );
    assert_eq!(gateway.fakes.details("ListEvents"), ["u2"]);
    let words = browser.open("/activity").await.words();
    assert!(words.contains("Wrong code") && words.contains("198.51.100.7"));
    assert!(
        browser
            .open("/domains")
            .await
            .words()
            .contains("example.net Pending")
    );
    assert!(
        browser
            .open("/licences")
            .await
            .words()
            .contains("Business Premium 10 4 6")
    );
}

#[tokio::test]
async fn a_permission_that_is_missing_is_told_and_its_menu_entry_is_not_there() {
    let gateway = Gateway::start(true).await;
    gateway.fakes.world().permissions.clear();
    let denied = Refusal::new(Code::PermissionDenied, "permission.denied");
    gateway.fakes.world().refuse.insert("ListUsers", denied);
    let mut browser = gateway.signed_in();
    let page = browser.open("/users").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(
        page.words()
            .contains("You don't have the permission for this.")
    );
    assert!(
        !browser
            .open("/account")
            .await
            .text
            .contains("href=\"/users\"")
    );
}

#[tokio::test]
async fn an_action_that_asks_a_step_up_leads_to_the_code_and_back() {
    let gateway = Gateway::start(true).await;
    let asked = Refusal::new(Code::FailedPrecondition, "step_up_required");
    gateway.fakes.world().refuse.insert("ListUsers", asked);
    let mut browser = gateway.signed_in();
    browser.visit("/users").await;
    assert!(
        gateway.fakes.details("SendStepUpCode").is_empty(),
        "opening a page sends nothing"
    );
    browser.submit("/code/send", &[]).await;
    browser.follow().await;
    browser
        .submit("/code", &[("code", crate::fakes::CODE)])
        .await;
    assert_eq!(browser.page.location(), "/users");
}

#[tokio::test]
async fn every_page_of_a_session_offers_to_sign_out() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    for path in [
        "/account",
        "/account/password",
        "/activity",
        "/users",
        "/users/add",
        "/users/u2",
        "/users/u2/delete",
        "/users/u2/licence",
        "/users/u2/logs",
        "/licences",
        "/domains",
    ] {
        let page = browser.open(path).await;
        let offered = page.text.contains(" action=\"/sign-out\"");
        assert!(offered, "{path} ({}): {}", page.status, page.words());
    }
}

#[tokio::test]
async fn trouble_of_ours_names_the_request_and_nothing_else() {
    let gateway = Gateway::start(true).await;
    let strange = Refusal::new(Code::Internal, "some.new_reason").with("host", "db-7");
    gateway.fakes.world().refuse.insert("ListPlans", strange);
    let mut browser = gateway.signed_in();
    let page = browser.open("/licences").await;
    let id = page.headers["x-request-id"].to_str().unwrap();
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.words().contains("Something went wrong") && page.text.contains(id));
    assert!(!page.text.contains("db-7"));
    let page = browser.open("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.words().contains("Page not found"));
}

#[tokio::test]
async fn the_inbox_exists_in_development_alone() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.browser();
    let page = browser.open("/dev/inbox").await;
    assert!(
        page.text.contains("href=\"http://localhost:8080/link/") || page.text.contains("#042137")
    );
    let page = browser.open("/dev/inbox?to=+14165550123&wait=1").await;
    let json: serde_json::Value = serde_json::from_str(&page.text).unwrap();
    assert!(json["sms"][0]["text"].as_str().unwrap().contains("#042137"));
    assert_eq!(
        gateway.fakes.details("ListSms").last().unwrap(),
        "+14165550123"
    );
    let gateway = Gateway::with(Fakes::new(true), |config| {
        config.profile = Profile::Production;
        config.gateway.portal_url = "https://portal.example".into();
        config.gateway.trusted_proxies = vec!["127.0.0.1".to_owned().try_into().unwrap()];
    })
    .await;
    let mut browser = gateway.browser();
    let page = browser.open("/dev/inbox").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.headers.contains_key("strict-transport-security"));
    assert!(gateway.fakes.world().calls.is_empty());
}

#[tokio::test]
async fn the_switch_changes_the_language_before_sign_in() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    browser.language = "fr-CA,fr;q=0.9".into();
    let page = browser.open("/sign-in").await;
    assert!(page.text.contains("lang=\"fr-CA\"") && page.words().contains("Se connecter"));
    browser
        .submit("/language", &[("to", "en"), ("back", "/sign-in")])
        .await;
    assert!(browser.follow().await.text.contains("<html lang=\"en\""));
    browser
        .submit("/language", &[("to", "fr"), ("back", "//evil.example")])
        .await;
    assert_eq!(browser.page.location(), "/");
}

/// Every page in one language holds no sentence of the other.
#[tokio::test]
async fn pages_are_complete_in_both_languages() {
    for (locale, foreign) in [("fr", "en"), ("en", "fr")] {
        let gateway = Gateway::start(true).await;
        gateway
            .fakes
            .world()
            .profile
            .fields
            .as_mut()
            .unwrap()
            .locale = locale.to_owned();
        let mut pages = Vec::new();
        let mut visitor = gateway.browser();
        visitor.language = locale.to_owned();
        for path in [
            "/sign-in",
            "/forgot",
            "/nowhere",
            "/dev/inbox",
            "/forgot?done=sent",
        ] {
            pages.push((path, visitor.open(path).await.words()));
        }
        let token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
        visitor.cookies.insert("__Host-session".into(), token);
        for path in ["/code", "/recovery", "/code/state", "/lost"] {
            pages.push((path, visitor.open(path).await.words()));
        }
        gateway.fakes.world().authenticator = true;
        for path in ["/authenticator", "/account"] {
            pages.push((path, visitor.visit(path).await.words()));
        }
        gateway.fakes.world().passkeys = vec![("a0".to_owned(), "1".to_owned())];
        pages.push(("/passkey", visitor.open("/passkey").await.words()));
        let mut browser = gateway.signed_in();
        browser.language = locale.to_owned();
        for path in [
            "/account",
            "/account/passkeys",
            "/account/password",
            "/activity",
            "/users",
            "/users/add",
            "/users/u2",
            "/users/u2/delete",
            "/users?state=deleted",
            "/users?state=active&search=zz",
            "/users/u2/licence",
            "/users/u2/logs",
            "/licences",
            "/domains",
            "/users?search=zz",
            "/users/x9/logs",
        ] {
            pages.push((path, browser.open(path).await.words()));
        }
        browser.open("/account").await;
        pages.push((
            "save",
            browser
                .submit("/account", &[("mobile_number", "12")])
                .await
                .words(),
        ));
        for (path, words) in &pages {
            for (key, texts) in TABLE.iter() {
                let text = texts[foreign].as_str().unwrap();
                let long = text.len() >= 14 && !text.contains('{');
                // Each language is named in itself, and so is the mail of the fake.
                assert!(
                    !(long && words.contains(text)),
                    "{path} in {locale} holds {key} in {foreign}: {text}"
                );
            }
        }
    }
}
