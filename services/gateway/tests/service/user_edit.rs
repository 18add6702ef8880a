//! Users are edited, deleted and brought back in the portal, and by programs.

use reqwest::{Method, StatusCode};
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::SessionStage;
use serde_json::json;
use tonic::Code;

use crate::api::{Program, answer};
use crate::browser::Gateway;
use crate::words::say;

#[tokio::test]
async fn one_save_edits_a_user() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let page = browser.open("/users/u2").await;
    assert_eq!(page.value("first_name").unwrap(), "Benoît");
    assert_eq!(page.value("mobile_number").unwrap(), "+33 6 12 34 56 78");
    assert_eq!(page.picked("country").unwrap(), "FR");
    assert_eq!(page.picked("role_group_ids").unwrap(), "g1");
    assert!(page.picked("disabled").is_none());
    let typed = [
        ("first_name", "Ben"),
        ("last_name", "Tremblay"),
        ("country", "FR"),
        ("mobile_number", "06 12 34 56 78"),
        ("default_sms_country", "FR"),
        ("time_zone", "Europe/Paris"),
        ("date_format", "iso"),
        ("locale", "fr"),
        ("role_group_ids", "g1"),
        ("role_group_ids", "g2"),
        ("disabled", "1"),
    ];
    browser.submit("/users/u2", &typed).await;
    let words = browser.follow().await.words();
    assert!(words.contains(&say("en", "done_user", &[])), "{words}");
    assert_eq!(
        gateway.fakes.details("UpdateUser"),
        ["u2 Ben +33612345678 g1,g2 disabled=true required=false v7"]
    );
}

#[tokio::test]
async fn a_stale_edit_tells_what_is_stored_now_and_keeps_what_was_typed() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    browser.open("/users/u2").await;
    let conflict = Refusal::new(Code::Aborted, "edit.conflict")
        .with("version", 8)
        .with("fields", "first_name,disabled");
    gateway.fakes.refuse("UpdateUser", conflict);
    let page = browser
        .submit("/users/u2", &[("first_name", "Ben"), ("disabled", "1")])
        .await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_eq!(page.value("first_name").unwrap(), "Ben");
    let alert = page.alert();
    for sentence in [
        say("en", "r_edit_conflict", &[]),
        say(
            "en",
            "stored_now",
            &[("field", "First name"), ("value", "Benoît")],
        ),
        say("en", "stored_other", &[("field", "Disabled")]),
    ] {
        assert!(alert.contains(&sentence), "{sentence}: {alert}");
    }
}

#[tokio::test]
async fn a_user_is_deleted_by_his_address_and_brought_back_from_the_list() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let page = browser.open("/users/u2/delete").await;
    assert!(page.words().contains("benoit@example.org"));
    assert!(page.value("email").is_none(), "nobody types it for you");
    let page = browser.submit("/users/u2/delete", &[("email", "")]).await;
    assert_eq!(page.error_at("email"), say("en", "r_field_required", &[]));
    assert!(gateway.fakes.details("DeleteUser").is_empty());
    let page = browser
        .submit("/users/u2/delete", &[("email", "ben@example.org")])
        .await;
    assert_eq!(page.error_at("email"), say("en", "r_email_mismatch", &[]));
    browser
        .submit("/users/u2/delete", &[("email", "benoit@example.org")])
        .await;
    let words = browser.follow().await.words();
    assert!(words.contains(&say("en", "done_deleted", &[])), "{words}");
    let page = browser.open("/users?state=deleted").await;
    assert!(page.words().contains("Erin Roy"));
    assert!(!page.text.contains("/users/u5/delete"));
    browser.submit("/users/u5/restore", &[]).await;
    let words = browser.follow().await.words();
    assert!(words.contains(&say("en", "done_restored", &[])), "{words}");
    assert_eq!(gateway.fakes.details("RestoreUser"), ["u5"]);
}

#[tokio::test]
async fn filters_and_order_stay_from_page_to_page() {
    let gateway = Gateway::start(true).await;
    let mut browser = gateway.signed_in();
    let asked = "/users?state=active&plan=p2&two_factor=off&sort=last_name";
    let page = browser.open(asked).await;
    for (name, value) in [
        ("state", "active"),
        ("plan", "p2"),
        ("two_factor", "off"),
        ("sort", "last_name"),
    ] {
        assert_eq!(page.picked(name).as_deref(), Some(value));
    }
    let next = format!("{asked}&page=page-2").replace('&', "&#38;");
    let plain = page.text.replace("&amp;", "&#38;");
    assert!(plain.contains(&next), "{plain}");
}

#[tokio::test]
async fn programs_edit_delete_and_restore_users() {
    let gateway = Gateway::start(true).await;
    let mut program = Program::of(&gateway);
    program.token = gateway.fakes.session(SessionStage::SignedIn);
    let (status, read) = program.get("/users/u2").await;
    assert_eq!((status, &read["version"]), (StatusCode::OK, &json!(7)));
    assert_eq!(read["email"], "benoit@example.org");
    let mut fields = read["fields"].clone();
    fields["two_factor_required"] = json!(true);
    let body = json!({"version": 7, "fields": fields});
    let request = program.request(Method::PUT, "/users/u2").json(&body);
    let (status, saved) = answer(request).await;
    assert_eq!((status, &saved["version"]), (StatusCode::OK, &json!(8)));
    assert_eq!(saved["fields"]["two_factor_required"], json!(true));
    let typed = json!({"email": "benoit@example.com"});
    let (status, refused) = program.post("/users/u2/delete", typed).await;
    assert_eq!(
        (status, &refused["error"]["reason"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("email.mismatch"))
    );
    let typed = json!({"email": "benoit@example.org"});
    let (status, deleted) = program.post("/users/u2/delete", typed).await;
    assert_eq!(status, StatusCode::OK);
    assert!(deleted["restorable_until"].is_string());
    let (status, back) = program.post("/users/u2/restore", json!({})).await;
    assert_eq!((status, &back["state"]), (StatusCode::OK, &json!("active")));
    let (_, groups) = program.get("/role-groups").await;
    assert_eq!(groups["role_groups"][1]["name"], "Readers");
    let (status, listed) = program.get("/users?state=deleted&sort=last_sign_in").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(listed["users"][0]["state"], "deleted");
}
