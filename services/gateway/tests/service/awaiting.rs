//! What a session reaches that is past the password and awaits its code (rule 14): from the table of
//! routes and the operations of the API, so that a new one is tried without being named here.

use reqwest::{Method, StatusCode};
use sallyport_proto::identity::v1::SessionStage;
use serde_json::{Value, json};

use crate::api::{Program, answer};
use crate::browser::Gateway;
use crate::fakes::CODE;
use crate::refusable::AWAITING;
use crate::sources::routes;

/// Its pages: those of the code, by message or app, and the recovery code, the report of a lost phone,
/// the way out, and what is everybody's.
const PAGES: &[(&str, &str)] = &[
    ("GET", "/code"),
    ("POST", "/code"),
    ("POST", "/code/send"),
    ("POST", "/code/resend"),
    ("POST", "/code/cancel"),
    ("POST", "/code/link"),
    ("GET", "/code/state"),
    ("GET", "/code/events"),
    ("GET", "/authenticator"),
    ("POST", "/authenticator"),
    ("GET", "/passkey"),
    ("POST", "/passkey"),
    ("GET", "/lost"),
    ("POST", "/lost"),
    ("GET", "/recovery"),
    ("POST", "/recovery"),
    ("POST", "/sign-out"),
    ("POST", "/sign-in"),
    ("POST", "/language"),
    ("GET", "/forgot"),
    ("POST", "/forgot"),
    ("GET", "/link/spl_goodlink"),
    ("POST", "/link/spl_goodlink"),
    ("GET", "/dev/inbox"),
];

/// Its operations.
const OPERATIONS: &[&str] = &[
    "getSession",
    "sendSignInCode",
    "getChallenge",
    "watchChallenge",
    "verifyCode",
    "resendCode",
    "cancelChallenge",
    "useRecoveryCode",
    "listFactors",
    "useAuthenticatorCode",
    "beginPasskeyUse",
    "usePasskey",
    "reportPhoneLost",
    "sendEnrolmentLink",
    "useEnrolmentLink",
    "signOut",
    "signIn",
    "requestPasswordReset",
    "inspectLink",
    "setPasswordByLink",
];

#[tokio::test]
async fn a_session_that_awaits_its_code_reaches_no_other_page() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.speaking("en", AWAITING);
    browser.open("/code").await;
    let routes = routes();
    for (method, path) in &routes {
        if PAGES.contains(&(method.as_str(), path.as_str())) {
            continue;
        }
        let mut tab = browser.clone();
        if *method == Method::GET {
            tab.open(path).await;
        } else {
            // With the token of its own session.
            tab.submit(path, &[("mobile_number", "+33 6 12 34 56 78")])
                .await;
        }
        let at = format!("{method} {path}: {}", tab.page.words());
        assert_eq!(tab.page.status, StatusCode::SEE_OTHER, "{at}");
        let page = tab.follow().await;
        assert!(page.text.contains("action=\"/code/send\""), "{at}");
    }
    for page in PAGES {
        let there = |(method, path): &(Method, String)| (method.as_str(), path.as_str()) == *page;
        assert!(routes.iter().any(there), "{page:?} is no page");
    }
    // Otp-api knows no sessions, so nobody else would refuse.
    assert!(gateway.fakes.details("ValidateNumber").is_empty());
    assert!(gateway.fakes.details("ListCountries").is_empty());

    browser.submit("/code/send", &[]).await;
    assert_eq!(gateway.fakes.details("SendSignInCode").len(), 1);
    assert!(browser.follow().await.words().contains("KTR"));
}

/// What only takes posts is no page to go back to.
#[tokio::test]
async fn after_the_code_a_form_that_asked_for_it_leads_back_to_a_page() {
    let gateway = Gateway::start(true).await;
    let mut tried = 0;
    for (method, path) in routes() {
        if method == Method::GET || PAGES.contains(&(method.as_str(), path.as_str())) {
            continue;
        }
        let mut browser = gateway.speaking("en", AWAITING);
        browser.open("/code").await;
        browser.submit(&path, &[]).await;
        browser.follow().await;
        browser.submit("/code/send", &[]).await;
        browser.follow().await;
        browser.submit("/code", &[("code", CODE)]).await;
        let to = browser.page.location().to_owned();
        let page = browser.follow().await;
        assert_eq!(page.status, StatusCode::OK, "{path} leads to {to}");
        tried += 1;
    }
    assert!(tried > 10, "the routes are not tried: {tried}");
}

#[tokio::test]
async fn a_session_that_awaits_its_code_reaches_no_other_operation() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
    let (_, document) = program.get("/openapi.json").await;
    let mut reached = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            if OPERATIONS.contains(&id) {
                reached += 1;
                continue;
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let request = program
                .request(method, &path.replace("{user_id}", "u2"))
                .header("idempotency-key", "key-00001");
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let request = if schema.is_null() {
                request
            } else {
                request.json(&example(&document, schema))
            };
            let (status, body) = answer(request).await;
            assert_eq!(
                (status, &body["error"]["reason"]),
                (StatusCode::CONFLICT, &json!("second_factor_required")),
                "{id}: {body}"
            );
        }
    }
    assert_eq!(reached, OPERATIONS.len(), "an operation is gone");
    assert!(gateway.fakes.details("ValidateNumber").is_empty());
    assert!(gateway.fakes.details("ListCountries").is_empty());
}

/// A body of the form that the document asks for.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return example(document, document.pointer(pointer).unwrap());
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().unwrap().iter();
            fields
                .map(|(name, schema)| (name.clone(), example(document, schema)))
                .collect()
        }
        Some("array") => json!([]),
        Some("boolean") => json!(true),
        Some("integer") => json!(1),
        _ => json!("text"),
    }
}

/// Past the link that enrols a disabled factor anew a number is typed before the second step.
#[tokio::test]
async fn whoever_may_enrol_before_the_code_has_numbers_read_and_nothing_else() {
    let gateway = Gateway::start(true).await;
    gateway.fakes.world().may_enrol = true;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
    let typed = json!({"number": "06 12 34 56 78", "country": "FR"});
    let (status, body) = program.post("/numbers/validate", typed).await;
    assert_eq!(
        (status, &body["e164"]),
        (StatusCode::OK, &json!("+33612345678"))
    );
    assert_eq!(program.get("/countries").await.0, StatusCode::OK);
    assert_eq!(program.get("/profile").await.0, StatusCode::CONFLICT);

    let mut browser = gateway.speaking("en", AWAITING);
    browser.open("/enrol").await;
    let typed = [("country", "FR"), ("mobile_number", "06 12 34 56 78")];
    let page = browser.submit("/account/number/check", &typed).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("+33 6 12 34 56 78"), "{}", page.text);
}
