//! The mobile number: shown as it will be dialled while it is typed (with script), and confirmed
//! where it is not yet the number of 2FA.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sallyport_proto::otp::v1::ValidateNumberRequest;
use serde::Serialize;

use super::two_factor::{Go, Intent, proceed};
use super::{frame, signed_in};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::refusals;
use crate::session::Cookies;
use crate::visitor::Visitor;

#[derive(Serialize)]
struct Checked {
    /// As it will be dialled: "+33 6 12 34 56 78".
    dialled: String,
    /// What is wrong with it.
    error: String,
}

/// Says how a number will be dialled, or what is wrong with it. Changes nothing.
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let w = super::words_of(&session, &visitor);
    let request = ValidateNumberRequest {
        input: posted.text("mobile_number"),
        country: posted.text("country"),
    };
    let checked = match app
        .clients
        .number()
        .validate_number(visitor.ask(request))
        .await
    {
        Ok(answer) => Checked {
            dialled: w.will_be_dialled(answer.into_inner().international),
            error: String::new(),
        },
        Err(status) => Checked {
            dialled: String::new(),
            error: refusals::sentence(w, &Problem::from(status).refusal()?),
        },
    };
    Ok(Json(checked).into_response())
}

/// Moves 2FA to the number of the profile: sends it a code.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    signed_in(&app, &visitor).await?;
    let go = Go {
        intent: Intent::ChangeNumber,
        nonce: posted.nonce().to_owned(),
    };
    let mut cookies = Cookies::default();
    let response = proceed(&app, &visitor, go, &mut cookies).await?;
    Ok(frame::with_cookies(response, &cookies))
}
