//! The mobile number: shown as it will be dialled before it is saved, while it is typed or, without
//! script, by a button; and confirmed where it is not yet the number of 2FA.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::GetTwoFactorResponse;
use sallyport_proto::otp::v1::{ValidateNumberRequest, ValidateNumberResponse};
use serde::Serialize;

use super::account::{self, FIELDS, Typed};
use super::frame::{Errors, Frame};
use super::two_factor::{Intent, start};
use super::{Reader, signed_in};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::refusals;
use crate::visitor::Visitor;
use crate::words::Words;

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
    let session = app.clients.session_that_may_enrol(&visitor).await?;
    let w = super::words_of(&session, &visitor);
    let (number, country) = (posted.text("mobile_number"), posted.text("country"));
    let checked = match validated(&app, &visitor, number, country).await? {
        Ok(number) => Checked {
            dialled: w.will_be_dialled(number.international),
            error: String::new(),
        },
        Err(refusal) => Checked {
            dialled: String::new(),
            error: refusals::sentence(w, &refusal),
        },
    };
    Ok(Json(checked).into_response())
}

/// The same without script: My account as it was typed, with that at the number. Changes nothing.
pub(super) async fn check_in_form(
    app: &App,
    reader: &Reader,
    factor: &GetTwoFactorResponse,
    mut typed: Typed,
) -> Result<Response, Problem> {
    let w = reader.w;
    let number = (typed.country.as_str(), typed.fields.mobile_number.as_str());
    let checked = dialled(app, &reader.visitor, w, number, &FIELDS).await?;
    let errors = match checked {
        Ok(dialled) => {
            typed.dialled = dialled;
            Errors::default()
        }
        Err(errors) => errors,
    };
    let f = Frame::of(app, reader, w.my_account()).with_errors(&errors);
    account::form(app, reader, factor, f, &typed, &errors).await
}

/// A picked country and a typed number as they will be dialled, or what is wrong with them, at the
/// fields of their form.
pub(super) async fn dialled(
    app: &App,
    visitor: &Visitor,
    w: Words,
    (country, number): (&str, &str),
    fields: &[&'static str],
) -> Result<Result<String, Errors>, Problem> {
    if number.is_empty() {
        let mut errors = Errors::default();
        errors.field("mobile_number", w.mobile_required());
        return Ok(Err(errors));
    }
    let number = validated(app, visitor, number.to_owned(), country.to_owned()).await?;
    Ok(match number {
        Ok(number) => Ok(w.will_be_dialled(number.international)),
        Err(refusal) => Err(Errors::of(w, &refusal, fields)),
    })
}

/// What otp-api makes of a typed number, or why it refuses it.
pub(super) async fn validated(
    app: &App,
    visitor: &Visitor,
    input: String,
    country: String,
) -> Result<Result<ValidateNumberResponse, Refusal>, Problem> {
    let request = visitor.ask(ValidateNumberRequest { input, country });
    match app.clients.number().validate_number(request).await {
        Ok(answer) => Ok(Ok(answer.into_inner())),
        Err(status) => Ok(Err(Problem::from(status).refusal()?)),
    }
}

/// Moves 2FA to the number of the profile, or adds it beside an authenticator app: sends it a code.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    signed_in(&app, &visitor).await?;
    let factor = account::two_factor(&app, &visitor).await?;
    let intent = if factor.confirmed_number.is_empty() {
        Intent::Enable
    } else {
        Intent::ChangeNumber
    };
    start(&app, &visitor, &posted, intent).await
}
