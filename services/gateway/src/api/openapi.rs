//! Routes and their OpenAPI 3.1 document, registered together.

use std::sync::Arc;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ErrorBody, ErrorDetail, FieldError};
use super::{
    authenticator, browsers, code, events, passkeys, password, profile, sign_in, two_factor,
    user_edit, users,
};
use crate::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sallyport",
        version = "1",
        description = "Sign-in with a second step, and account administration. Operations that send a \
            message or add something take the header Idempotency-Key, 1 to 128 visible ASCII characters: \
            the same key and content are done once."
    ),
    servers((url = "/api/v1")),
    components(schemas(ErrorBody, ErrorDetail, FieldError)),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The session's token, `sps_…`, from signIn."))
            .build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("session", SecurityScheme::Http(scheme));
    }
}

/// Every operation.
pub(crate) fn operations() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(sign_in::session))
        .routes(routes!(sign_in::sessions))
        .routes(routes!(sign_in::revoke_sessions))
        .routes(routes!(code::send_sign_in))
        .routes(routes!(code::send_step_up))
        .routes(routes!(code::challenge, code::cancel))
        .routes(routes!(code::events))
        .routes(routes!(code::verify))
        .routes(routes!(code::resend))
        .routes(routes!(code::recovery))
        .routes(routes!(code::send_enrolment_link))
        .routes(routes!(code::use_enrolment_link))
        .routes(routes!(code::report_lost))
        .routes(routes!(password::confirm))
        .routes(routes!(password::change))
        .routes(routes!(password::request_reset))
        .routes(routes!(password::inspect_link))
        .routes(routes!(password::set_by_link))
        .routes(routes!(profile::get, profile::put))
        .routes(routes!(profile::validate))
        .routes(routes!(profile::validate_number))
        .routes(routes!(profile::countries))
        .routes(routes!(two_factor::get))
        .routes(routes!(two_factor::enable))
        .routes(routes!(two_factor::disable))
        .routes(routes!(two_factor::change_number))
        .routes(routes!(two_factor::remake_recovery_codes))
        .routes(routes!(authenticator::factors))
        .routes(routes!(authenticator::give))
        .routes(routes!(authenticator::begin))
        .routes(routes!(authenticator::confirm))
        .routes(routes!(authenticator::remove))
        .routes(routes!(passkeys::begin_use))
        .routes(routes!(passkeys::give))
        .routes(routes!(passkeys::begin))
        .routes(routes!(passkeys::confirm))
        .routes(routes!(passkeys::rename))
        .routes(routes!(passkeys::remove))
        .routes(routes!(browsers::list))
        .routes(routes!(browsers::revoke))
        .routes(routes!(users::list, users::add))
        .routes(routes!(user_edit::get, user_edit::put))
        .routes(routes!(user_edit::delete))
        .routes(routes!(user_edit::restore))
        .routes(routes!(user_edit::role_groups))
        .routes(routes!(users::assign_licence))
        .routes(routes!(users::start_password_reset))
        .routes(routes!(users::plans))
        .routes(routes!(users::domains))
        .routes(routes!(events::own))
        .routes(routes!(events::of_user))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn document() -> serde_json::Value {
        serde_json::to_value(operations().into_openapi()).unwrap()
    }

    /// The handlers of this folder, as their attributes state them in the sources.
    fn handlers() -> BTreeSet<String> {
        let sources = [
            include_str!("authenticator.rs"),
            include_str!("browsers.rs"),
            include_str!("sign_in.rs"),
            include_str!("code.rs"),
            include_str!("passkeys.rs"),
            include_str!("password.rs"),
            include_str!("profile.rs"),
            include_str!("two_factor.rs"),
            include_str!("users.rs"),
            include_str!("user_edit.rs"),
            include_str!("events.rs"),
        ];
        let mut found = BTreeSet::new();
        for source in sources {
            for part in source.split("#[utoipa::path(").skip(1) {
                let (attribute, _) = part.split_once(")]").unwrap();
                let method = attribute.trim().split(',').next().unwrap().trim();
                let path = attribute.split("path = \"").nth(1).unwrap();
                found.insert(format!("{method} {}", path.split('"').next().unwrap()));
            }
        }
        found
    }

    #[test]
    fn every_operation_is_routed_and_documented() {
        let document = document();
        let mut documented = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                documented.insert(format!("{method} {path}"));
            }
        }
        assert_eq!(documented, handlers());
        assert!(documented.len() >= 30);
    }

    #[test]
    fn the_document_is_openapi_3_1_with_errors_and_security_everywhere() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let open = [
            "/sign-in",
            "/password/reset",
            "/links/inspect",
            "/links/set-password",
        ];
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let at = format!("{method} {path}");
                assert!(operation["responses"]["422"].is_object(), "{at}: no errors");
                assert_eq!(
                    operation["security"].is_array(),
                    !open.contains(&path.as_str()),
                    "{at}"
                );
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id.clone()), "{at}: {id} stands twice");
                assert!(operation["summary"].is_string(), "{at}: no summary");
            }
        }
    }

    #[test]
    fn every_reference_of_the_document_resolves() {
        fn walk(value: &serde_json::Value, root: &serde_json::Value) {
            match value {
                serde_json::Value::Object(map) => {
                    if let Some(reference) = map.get("$ref").and_then(|r| r.as_str()) {
                        let pointer = reference.trim_start_matches('#');
                        assert!(root.pointer(pointer).is_some(), "{reference} is not there");
                    }
                    map.values().for_each(|v| walk(v, root));
                }
                serde_json::Value::Array(list) => list.iter().for_each(|v| walk(v, root)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
    }
}
