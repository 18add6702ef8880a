//! User Management: deleting a user, whose address is typed again, and undoing it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sallyport_proto::admin::v1::{DeleteUserRequest, RestoreUserRequest};

use super::frame::{self, Errors, Field, Frame};
use super::user_licence::user;
use super::users::full_name;
use super::{Reader, redirect, signed_in};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "user_delete.html")]
struct DeletePage {
    f: Frame,
    name: String,
    /// As it is stored.
    address: String,
    /// What is typed.
    email: Field,
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    form(&app, &reader, &id, "", &Errors::default()).await
}

async fn form(
    app: &App,
    reader: &Reader,
    id: &str,
    typed: &str,
    errors: &Errors,
) -> Result<Response, Problem> {
    let w = reader.w;
    let user = user(app, &reader.visitor, id).await?;
    let f = Frame::of(app, reader, w.delete_user()).with_errors(errors);
    let template = DeletePage {
        name: full_name(&user),
        address: user.email,
        email: Field::email("email", w.email())
            .fill("off", "email")
            .value(typed)
            .error(errors)
            .required()
            .first(&f),
        f,
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(shown, &reader.cookies()))
}

/// Deletes the user.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    posted: Form,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let email = posted.text("email");
    let mut errors = Errors::default();
    errors.required(reader.w, "email", &email);
    if !errors.is_empty() {
        return form(&app, &reader, &id, &email, &errors).await;
    }
    let request = DeleteUserRequest {
        user_id: id.clone(),
        email: email.clone(),
    };
    match app.clients.user().delete_user(visitor.ask(request)).await {
        Ok(_) => Ok(redirect("/users?done=deleted")),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if !["email.", "admin."]
                .iter()
                .any(|about| refusal.reason.starts_with(about))
            {
                return Err(refusal.into());
            }
            errors.add(reader.w, &refusal, &["email"]);
            let page = form(&app, &reader, &id, &email, &errors).await?;
            Ok(frame::refused(page, refusal))
        }
    }
}

/// Undoes a deletion.
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
    _posted: Form,
) -> Result<Response, Problem> {
    signed_in(&app, &visitor).await?;
    let request = visitor.ask(RestoreUserRequest { user_id });
    app.clients.user().restore_user(request).await?;
    Ok(redirect("/users?done=restored"))
}
