//! What a posted form passes, and what every answer carries.

use reqwest::{Method, StatusCode};
use sallyport_proto::identity::v1::SessionStage;

use crate::browser::{Browser, Gateway};
use crate::refusable::{AWAITING, NOBODY, SIGNED_IN};
use crate::sources::routes;
use crate::words::{LANGUAGES, say};

async fn sign_in_page(gateway: &Gateway) -> Browser {
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    browser
}

fn fields(browser: &Browser, csrf: Option<String>) -> Vec<(String, String)> {
    let mut fields = vec![
        ("nonce".to_owned(), browser.page.value("nonce").unwrap()),
        ("email".to_owned(), "ada@example.org".to_owned()),
        ("password".to_owned(), "wrong".to_owned()),
    ];
    fields.extend(csrf.map(|token| ("csrf".to_owned(), token)));
    fields
}

#[tokio::test]
async fn a_form_without_its_token_or_with_anothers_is_refused_and_does_nothing() {
    let gateway = Gateway::start(true).await;
    let mut mine = sign_in_page(&gateway).await;
    let other = sign_in_page(&gateway).await;
    for token in [None, Some(String::new()), other.page.value("csrf")] {
        let fields = fields(&mine, token);
        let request = mine.post("/sign-in", &fields);
        let mut tab = mine.clone();
        let page = tab.send(request).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(
            page.words().contains("This form could not be checked"),
            "{}",
            page.text
        );
    }
    assert!(gateway.fakes.details("SignIn").is_empty());
    let fields = fields(&mine, mine.page.value("csrf"));
    let request = mine.post("/sign-in", &fields);
    mine.send(request).await;
    assert_eq!(gateway.fakes.details("SignIn"), ["ada@example.org"]);
}

/// Where forms go: a new form is tried without being named here.
fn addresses() -> Vec<String> {
    routes()
        .into_iter()
        .filter(|(method, _)| *method == Method::POST)
        .map(|(_, path)| path)
        .collect()
}

#[tokio::test]
async fn no_form_does_anything_without_its_token_and_the_page_says_so() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        let sentence = say(language, "r_form_refused", &[]);
        for path in addresses() {
            for token in [None, Some(String::new()), Some("0".repeat(43))] {
                let mut fields = vec![("nonce".to_owned(), "0".repeat(32))];
                fields.extend(token.map(|token| ("csrf".to_owned(), token)));
                let request = browser.post(&path, &fields);
                let page = browser.send(request).await;
                assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
                assert!(page.words().contains(&sentence), "{path}: {}", page.words());
            }
        }
        assert!(gateway.fakes.world().calls.is_empty());
    }
}

#[tokio::test]
async fn a_form_from_another_origin_is_refused_even_with_its_token() {
    let gateway = Gateway::start(true).await;
    let browser = sign_in_page(&gateway).await;
    let fields = fields(&browser, browser.page.value("csrf"));
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "null"),
    ] {
        let mut request = browser.post("/sign-in", &fields).build().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let request = reqwest::RequestBuilder::from_parts(browser.http.clone(), request);
        let mut tab = browser.clone();
        assert_eq!(
            tab.send(request).await.status,
            StatusCode::FORBIDDEN,
            "{name}: {value}"
        );
    }
    assert!(gateway.fakes.details("SignIn").is_empty());
}

#[tokio::test]
async fn the_token_before_sign_in_does_not_open_forms_of_a_session_elsewhere() {
    let gateway = Gateway::start(true).await;
    let attacker = sign_in_page(&gateway).await;
    let mut victim = gateway.signed_in();
    let fields = fields(&attacker, attacker.page.value("csrf"));
    let request = victim.post("/account/sessions", &fields);
    assert_eq!(victim.send(request).await.status, StatusCode::FORBIDDEN);
    assert!(gateway.fakes.details("RevokeSessions").is_empty());
}

/// Where pages go that are made before there is a session, or without a look at it.
const BEFORE: [&str; 4] = ["/sign-in", "/forgot", "/link/spl_goodlink", "/language"];

#[tokio::test]
async fn a_sessions_forms_are_bound_to_the_session_and_not_to_what_was_before_it() {
    let gateway = Gateway::start(true).await;
    for stage in [AWAITING, SIGNED_IN] {
        let mut browser = gateway.speaking("en", stage);
        // The page of this very browser that is bound to its `__Host-pre`.
        browser.open("/forgot").await;
        let before = browser.page.value("csrf").unwrap();
        gateway.fakes.world().calls.clear();
        let mut refused = 0;
        for path in addresses() {
            if BEFORE.contains(&path.as_str()) {
                continue;
            }
            let request = browser.post(&path, &fields(&browser, Some(before.clone())));
            let mut tab = browser.clone();
            let page = tab.send(request).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
            refused += 1;
        }
        assert!(refused > 10, "the routes are not read");
        assert!(gateway.fakes.world().calls.is_empty());
    }
}

#[tokio::test]
async fn the_forms_of_pages_before_sign_in_work_in_a_browser_with_a_session_too() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    browser.open("/forgot").await;
    let typed = [("email", "ada@example.org")];
    browser.submit("/forgot", &typed).await;
    assert_eq!(browser.page.location(), "/forgot?done=sent");
    browser.open("/link/spl_goodlink").await;
    let switch = [("to", "fr"), ("back", "/link/spl_goodlink")];
    browser.submit("/language", &switch).await;
    assert_eq!(browser.page.location(), "/link/spl_goodlink");
    let long = "four words well chosen";
    browser.follow().await;
    let typed = [("password", long), ("password_again", long)];
    browser.submit("/link/spl_goodlink", &typed).await;
    assert_eq!(browser.page.location(), "/sign-in?done=password");
    // Made while nobody was signed in here, sent after somebody is.
    let mut tab = gateway.browser();
    tab.open("/sign-in").await;
    let token = gateway.fakes.session(SessionStage::SignedIn);
    tab.cookies.insert("__Host-session".into(), token);
    let typed = [
        ("email", "ada@example.org"),
        ("password", crate::fakes::PASSWORD),
    ];
    tab.submit("/sign-in", &typed).await;
    assert!(
        tab.page.location().starts_with("/code"),
        "{}",
        tab.page.text
    );
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    browser.open("/account").await;
    let style = browser
        .page
        .text
        .split('"')
        .find(|s| s.ends_with("portal.css"))
        .unwrap()
        .to_owned();
    for path in [
        "/account",
        "/users",
        "/sign-in",
        "/",
        "/nowhere",
        "/api/v1/session",
        "/api/v1/openapi.json",
        "/api/v1/nowhere",
        "/healthz",
        "/dev/inbox",
        "/link/spl_bad",
        style.as_str(),
    ] {
        let page = browser.open(path).await;
        let header = |name: &str| {
            page.headers
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(
            header("cross-origin-opener-policy"),
            "same-origin",
            "{path}"
        );
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
        assert!(header("x-request-id").len() >= 8, "{path}");
        let kind = header("content-type");
        assert!(page.text.is_empty() || !kind.is_empty(), "{path}");
        let told = !kind.starts_with("text/") || kind.ends_with("charset=utf-8");
        assert!(told, "{path}: {kind}");
        let cached = header("cache-control");
        let asset = path.starts_with("/assets/");
        assert_eq!(cached.contains("no-store"), !asset, "{path}: {cached}");
        // Plain HTTP in development: browsers would remember HSTS for localhost.
        assert_eq!(header("strict-transport-security"), "", "{path}");
    }
    let page = browser.open("/code/state").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'self'"), "{policy}");
}

#[tokio::test]
async fn pages_hold_nothing_inline() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    for path in [
        "/account",
        "/users",
        "/users/add",
        "/users/u2/licence",
        "/activity",
        "/dev/inbox",
    ] {
        let page = browser.open(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.words());
        for inline in [" style=", "<style", "<script>", " onclick=", "javascript:"] {
            assert!(!page.text.contains(inline), "{path} holds {inline}");
        }
    }
}

#[tokio::test]
async fn a_double_click_makes_one_call_and_both_get_its_answer() {
    let gateway = Gateway::start(false).await;
    let mut browser = gateway.browser();
    browser.open("/sign-in").await;
    let fields = [
        ("email", "ada@example.org"),
        ("password", crate::fakes::PASSWORD),
    ];
    let first = browser.dress(browser.form("/sign-in", &fields)).send();
    let second = browser.dress(browser.form("/sign-in", &fields)).send();
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        first.headers()["set-cookie"],
        second.headers()["set-cookie"]
    );
    assert_eq!(gateway.fakes.details("SignIn").len(), 1);
}

#[tokio::test]
async fn what_is_for_operators_and_tracing_is_not_on_the_public_socket() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    for path in ["/account", "/api/v1/session", "/healthz"] {
        let address = format!("{}{path}", browser.base);
        let request = browser.http.request(Method::TRACE, address);
        let page = browser.send(request.header("x-probe", "echoed")).await;
        assert!(page.status.is_client_error(), "{path}: {}", page.status);
        assert!(!page.text.contains("echoed"), "{path}");
    }
    for path in ["/metrics", "/grpc.health.v1.Health/Check"] {
        let page = browser.open(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let gateway = Gateway::start(true).await;
    let long = "x".repeat(70 * 1024);
    for language in LANGUAGES {
        let mut browser = gateway.speaking(language, NOBODY);
        browser.open("/sign-in").await;
        let request = browser.form("/sign-in", &[("email", &long)]);
        let page = browser.send(request).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        let sentence = say(language, "r_form_too_large", &[]);
        assert!(page.words().contains(&sentence), "{}", page.words());
    }
    assert!(gateway.fakes.details("SignIn").is_empty());
}
