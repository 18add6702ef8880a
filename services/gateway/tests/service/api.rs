//! The JSON API.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::{Purpose, SessionStage};
use serde_json::{Value, json};
use tonic::Code;

use crate::browser::Gateway;
use crate::fakes::{APP_CODE, APP_SECRET, CODE, PASSWORD};
use crate::sources::calls;

/// A program, in a session or in none.
pub struct Program {
    http: reqwest::Client,
    base: String,
    pub token: String,
}

impl Program {
    pub fn of(gateway: &Gateway) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: gateway.base.replace("localhost", "127.0.0.1") + "/api/v1",
            token: String::new(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match self.token.as_str() {
            "" => request,
            token => request.bearer_auth(token),
        }
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(
            self.request(Method::POST, path)
                .header("idempotency-key", "key-00001")
                .json(&body),
        )
        .await
    }
}

/// Status and body of an answer.
pub async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_program_signs_in_with_both_steps() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    let (status, body) = program
        .post(
            "/sign-in",
            json!({"email": "ada@example.org", "password": PASSWORD}),
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["stage"], "awaiting_second_factor");
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (status, body) = program.get("/profile").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["reason"], "second_factor_required");
    let (_, body) = program.post("/code/sign-in", json!({})).await;
    assert_eq!(body["reference"], "KTR");
    assert_eq!(body["purpose"], "sign_in");
    assert_eq!(gateway.fakes.details("SendSignInCode"), ["key-00001"]);
    let (_, body) = program.post("/code/verify", json!({"code": CODE})).await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (status, body) = program.get("/profile").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["fields"]["mobile_number"], "+14165550123");
    assert!(
        body["licence"]["expires_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
}

#[tokio::test]
async fn errors_have_one_form() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    let (status, body) = program.get("/session").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let error = body["error"].as_object().unwrap();
    for key in [
        "reason",
        "fields",
        "retry_after",
        "metadata",
        "request_id",
        "message",
    ] {
        assert!(error.contains_key(key), "{key}");
    }
    assert_eq!(error["reason"], "session.required");
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    let refusal = Refusal::field("first_name", "field.too_long")
        .with("minimum", 3)
        .retry_after(Duration::from_secs(7));
    gateway.fakes.world().refuse.insert("ListUsers", refusal);
    let request = program
        .request(Method::GET, "/users")
        .header("accept-language", "fr");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        body["error"],
        json!({
            "reason": "field.too_long",
            "fields": [{"field": "first_name", "reason": "field.too_long"}],
            "retry_after": 7,
            "metadata": {"minimum": "3"},
            "request_id": id,
            "message": "Ce texte est trop long.",
        })
    );
}

#[tokio::test]
async fn statuses_follow_the_table() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    for (code, expected) in [
        (Code::InvalidArgument, 422),
        (Code::PermissionDenied, 403),
        (Code::NotFound, 404),
        (Code::AlreadyExists, 409),
        (Code::Aborted, 409),
        (Code::FailedPrecondition, 409),
        (Code::ResourceExhausted, 429),
        (Code::Unavailable, 503),
        (Code::Internal, 500),
    ] {
        gateway
            .fakes
            .world()
            .refuse
            .insert("ListPlans", Refusal::new(code, "some.reason"));
        assert_eq!(program.get("/plans").await.0.as_u16(), expected, "{code:?}");
    }
    assert_eq!(
        program.get("/nowhere").await.1["error"]["reason"],
        "page.not_found"
    );
}

#[tokio::test]
async fn bodies_and_keys_are_read_strictly() {
    let gateway = Gateway::start(true).await;
    let program = Program::of(&gateway);
    let reason = |body: Value| {
        body["error"]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let unknown = json!({"email": "a", "password": "b", "admin": true});
    assert_eq!(
        reason(program.post("/sign-in", unknown).await.1),
        "body.invalid"
    );
    let plain = program.request(Method::POST, "/sign-in").body("{}");
    assert_eq!(reason(answer(plain).await.1), "body.invalid");
    let keyless = program
        .request(Method::POST, "/code/sign-in")
        .json(&json!({}));
    assert_eq!(reason(answer(keyless).await.1), "idempotency.required");
    let keyed = async |key: &[u8]| {
        let request = program
            .request(Method::POST, "/code/sign-in")
            .header("idempotency-key", key);
        reason(answer(request.json(&json!({}))).await.1)
    };
    assert_eq!(keyed("".as_bytes()).await, "idempotency.required");
    let too_long = "k".repeat(129);
    for key in [&b"two words"[..], &b"cl\xe9"[..], too_long.as_bytes()] {
        assert_eq!(keyed(key).await, "idempotency.invalid", "{key:?}");
    }
    assert!(gateway.fakes.world().calls.is_empty());
    // The shortest and the longest go on to identity, which misses the session.
    let keys = ["k", &too_long[1..]];
    for key in keys {
        assert_eq!(keyed(key.as_bytes()).await, "session.required");
    }
    assert_eq!(gateway.fakes.details("SendSignInCode"), keys);
}

#[tokio::test]
async fn the_api_takes_no_cookie_and_pages_no_token() {
    let gateway = Gateway::start(true).await;
    let token = gateway.fakes.session(SessionStage::SignedIn);
    let program = Program::of(&gateway);
    let cookie = format!("__Host-session={token}");
    let request = program
        .request(Method::GET, "/session")
        .header("cookie", cookie);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(!response.headers().contains_key("set-cookie"));
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    let mut browser = gateway.browser();
    let request = browser
        .http
        .get(format!("{}/account", browser.base))
        .bearer_auth(&token);
    assert!(
        browser
            .send(request)
            .await
            .location()
            .starts_with("/sign-in")
    );
}

#[tokio::test]
async fn administration_and_factors_answer() {
    let gateway = Gateway::start(false).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    for (path, key) in [
        ("/users?search=ada", "users"),
        ("/plans", "plans"),
        ("/domains", "domains"),
        ("/events", "events"),
        ("/users/u2/events", "events"),
        ("/sessions", "sessions"),
        ("/browsers", "browsers"),
        ("/countries", "countries"),
        ("/two-factor", "state"),
        ("/users/u2", "email"),
    ] {
        let (status, body) = program.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        assert!(!body[key].is_null(), "{path}: {body}");
    }
    let forget = json!({"browser_id": "b1"});
    let (_, body) = program.post("/browsers/revoke", forget.clone()).await;
    assert_eq!(body["forgotten"], 1);
    let (status, body) = program.post("/browsers/revoke", forget).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body["error"]["reason"], "browser.not_found");
    let (_, body) = program.post("/browsers/revoke", json!({})).await;
    assert_eq!(body["forgotten"], 1);
    let added = json!({"email": "eve@example.org", "locale": "fr", "time_zone": "UTC"});
    let (status, body) = program.post("/users", added).await;
    assert_eq!(
        (status, &body["link_token"]),
        (StatusCode::CREATED, &json!("spl_invitation"))
    );
    let enable = json!({"number": "+14165550123"});
    let (status, body) = program.post("/two-factor/enable", enable.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["reason"], "password_confirmation_required");
    let (_, body) = program
        .post("/password/confirm", json!({"password": PASSWORD}))
        .await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (_, body) = program.post("/two-factor/enable", enable).await;
    assert_eq!(
        (&body["active"], &body["challenge"]["purpose"]),
        (&json!(false), &json!("enrolment"))
    );
    let (_, body) = program.post("/code/verify", json!({"code": CODE})).await;
    assert_eq!(body["recovery_codes"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_program_sets_an_app_up_and_signs_in_with_it() {
    let gateway = Gateway::start(false).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    let begin = "/two-factor/authenticator";
    let (status, body) = program.post(begin, json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["reason"], "password_confirmation_required");
    let password = json!({"password": PASSWORD});
    let (_, body) = program.post("/password/confirm", password).await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (status, body) = program.post(begin, json!({})).await;
    assert_eq!(
        (status, &body["secret"]),
        (StatusCode::OK, &json!(APP_SECRET))
    );
    let uri = format!(
        "otpauth://totp/Sallyport:ada%40example.org?secret={APP_SECRET}&issuer=Sallyport\
         &algorithm=SHA1&digits=6&period=30"
    );
    assert_eq!(body["uri"], uri);
    let confirm = "/two-factor/authenticator/confirm";
    let wrong = json!({"enrolment": body["enrolment"], "code": "271828"});
    let (status, refused) = program.post(confirm, wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        refused["error"]["fields"],
        json!([{"field": "code", "reason": "authenticator.wrong"}])
    );
    let right = json!({"enrolment": body["enrolment"], "code": APP_CODE});
    let (_, body) = program.post(confirm, right).await;
    assert_eq!(body["recovery_codes"].as_array().unwrap().len(), 10);
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let (_, body) = program.get("/two-factor").await;
    assert!(body["authenticator_since"].as_str().unwrap().ends_with('Z'));

    program.token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
    let (_, body) = program.get("/code/factors").await;
    assert_eq!(
        body,
        json!({
            "number_ending": "", "authenticator": true, "passkey": false, "disabled": false
        })
    );
    let given = json!({"code": APP_CODE, "remember_browser": true});
    let (_, body) = program.post("/code/authenticator", given).await;
    assert_eq!(body["browser_token"], "spb_browser");
    program.token = body["session_token"].as_str().unwrap().to_owned();
    assert_eq!(program.get("/profile").await.0, StatusCode::OK);
    // It is the only factor.
    let password = json!({"password": PASSWORD});
    let (_, body) = program.post("/password/confirm", password).await;
    program.token = body["session_token"].as_str().unwrap().to_owned();
    let remove = "/two-factor/authenticator/remove";
    let (status, body) = program.post(remove, json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["reason"], "authenticator.last_factor");
}

#[tokio::test]
async fn a_program_reports_a_lost_phone_past_the_password() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
    let (status, _) = program.post("/code/phone-lost", json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    let (status, body) = program.post("/code/phone-lost", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["reason"], "session.signed_in");
}

/// Each operation of the document is routed: it answers something else than 404 and 405 of the router.
#[tokio::test]
async fn every_documented_operation_is_there() {
    let gateway = Gateway::start(true).await;
    let program = Program::of(&gateway);
    let (status, document) = program.get("/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let request = program.request(method.clone(), path).json(&json!({}));
            let (status, body) = answer(request).await;
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_ne!(body["error"]["reason"], "page.not_found", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_profile_is_validated_without_being_stored() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    let (_, profile) = program.get("/profile").await;
    let mut typed = json!({"fields": profile["fields"]});
    let (status, body) = program.post("/profile/validate", typed.clone()).await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    typed["fields"]["first_name"] = json!("A".repeat(101));
    let (status, body) = program.post("/profile/validate", typed).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = json!([{"field": "first_name", "reason": "field.too_long"}]);
    assert_eq!(body["error"]["fields"], told);
    assert_eq!(gateway.fakes.details("ValidateProfile").len(), 2);
    assert!(gateway.fakes.details("UpdateProfile").is_empty());
}

#[tokio::test]
async fn a_program_follows_its_code_as_the_page_does() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::AwaitingSecondFactor);
    gateway.fakes.world().send(Purpose::SignIn);
    let request = program.request(Method::GET, "/code/events");
    let stream = request.send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let text = stream.text().await.unwrap();
    let part = |name: &str| {
        let lines = text.lines();
        let values = lines.filter_map(|line| line.strip_prefix(name));
        values.map(str::trim).collect::<Vec<_>>()
    };
    assert_eq!(part("event:"), ["state", "state", "end"]);
    let states: Vec<Value> = part("data:")[..2]
        .iter()
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (_, challenge) = program.get("/code").await;
    assert_eq!(states[0], challenge);
    assert_eq!(states[1]["message_state"], "delivered");

    let busy =
        Refusal::new(Code::ResourceExhausted, "watch.busy").retry_after(Duration::from_secs(5));
    gateway.fakes.refuse("WatchChallenge", busy);
    let request = program.request(Method::GET, "/code/events");
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "5");
    let body: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["reason"], "watch.busy");
}

/// What the pages ask of the services, a program can ask too; the inboxes of development aside.
#[test]
fn every_call_of_the_pages_has_an_operation() {
    let pages = calls(&["services/gateway/src/pages"]);
    let programs = calls(&["services/gateway/src/api"]);
    assert!(pages.len() > 30, "the pages are not read: {pages:?}");
    let missing: Vec<_> = pages.difference(&programs).collect();
    assert_eq!(missing, ["list_mails", "list_sms"]);
}
