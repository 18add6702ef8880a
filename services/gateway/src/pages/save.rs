//! The one Save of My account: everything is validated first, then the profile is stored under its
//! version, then 2FA is started, switched off or moved.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::{ProfileFields, UpdateProfileRequest, ValidateProfileRequest};
use sallyport_proto::identity::v1::{GetTwoFactorResponse, TwoFactorState};

use super::account::{self, FIELDS, Typed};
use super::frame::{self, Errors, Frame};
use super::number::{check_in_form, validated};
use super::two_factor::{Go, Intent, proceed};
use super::{Reader, redirect, signed_in};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// The fields in which a number is typed.
const NUMBER: [&str; 2] = ["mobile_number", "country"];

/// The Save.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let factor = account::two_factor(&app, &visitor).await?;
    let typed = Typed::posted(&posted);
    if posted.ticked("check") {
        return check_in_form(&app, &reader, &factor, typed).await;
    }
    let again = async |mut typed: Typed, errors: Errors, code: StatusCode| {
        // A number that is refused switches nothing on, and the box says so (rule 1). A box that was
        // unticked to switch 2FA off stays as it was left.
        let refused = NUMBER.iter().any(|field| !errors.at(field).is_empty());
        if refused && factor.state() != TwoFactorState::Active {
            typed.two_factor = false;
        }
        let f = Frame::of(&app, &reader, reader.w.my_account()).with_errors(&errors);
        let mut response = account::form(&app, &reader, &factor, f, &typed, &errors).await?;
        *response.status_mut() = code;
        Ok(response)
    };
    let fields = match validate(&app, &reader, &factor, &typed).await? {
        Ok(fields) => fields,
        Err(errors) => return again(typed, errors, StatusCode::UNPROCESSABLE_ENTITY).await,
    };
    if fields != reader.fields() {
        let request = UpdateProfileRequest {
            fields: Some(fields.clone()),
            version: typed.version,
        };
        if let Err(status) = app
            .clients
            .profile()
            .update_profile(visitor.ask(request))
            .await
        {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let code = Problem::from(refusal.clone()).status();
            let errors = Errors::of(reader.w, &refusal, &FIELDS);
            return again(typed, errors, code).await;
        }
    }
    let language = account::language_of(&fields.locale, &reader);
    let mut cookies = frame::language_cookie(&visitor, language);
    let response = match intent(&reader, &factor, &typed, &fields) {
        None => redirect("/account?done=saved"),
        Some(intent) => {
            let go = Go {
                intent,
                nonce: posted.nonce().to_owned(),
                of: String::new(),
            };
            proceed(&app, &visitor, go, &mut cookies).await?
        }
    };
    Ok(frame::with_cookies(response, &cookies))
}

/// The fields as they will be stored, or every error at once. Changes nothing.
async fn validate(
    app: &App,
    reader: &Reader,
    factor: &GetTwoFactorResponse,
    typed: &Typed,
) -> Result<Result<ProfileFields, Errors>, Problem> {
    let (w, visitor) = (reader.w, &reader.visitor);
    let mut errors = Errors::default();
    let mut fields = typed.fields.clone();
    let number = std::mem::take(&mut fields.mobile_number);
    if !number.is_empty() {
        match validated(app, visitor, number, typed.country.clone()).await? {
            Ok(number) => fields.mobile_number = number.e164,
            Err(refusal) => errors.add(w, &refusal, &FIELDS),
        }
    } else if typed.two_factor && factor.state() != TwoFactorState::Disabled {
        errors.field("mobile_number", w.mobile_required());
    }
    let request = ValidateProfileRequest {
        fields: Some(fields.clone()),
    };
    if let Err(status) = app
        .clients
        .profile()
        .validate_profile(visitor.ask(request))
        .await
    {
        let refusal = Problem::from(status).refusal()?;
        if refusal.reason.starts_with("session.") {
            return Err(refusal.into());
        }
        errors.add(w, &refusal, &FIELDS);
    }
    Ok(if errors.is_empty() {
        Ok(fields)
    } else {
        Err(errors)
    })
}

/// What the Save means for 2FA. A number that was stored before and is not confirmed is not sent a
/// code by every later Save: the page offers that apart.
fn intent(
    reader: &Reader,
    factor: &GetTwoFactorResponse,
    typed: &Typed,
    fields: &ProfileFields,
) -> Option<Intent> {
    let changed = fields.mobile_number != reader.fields().mobile_number;
    match (factor.state(), typed.two_factor) {
        (TwoFactorState::Active, false) => Some(Intent::Disable),
        // Who has an authenticator app alone adds a number by its own button.
        (TwoFactorState::Active, true) => (changed
            && !factor.confirmed_number.is_empty()
            && fields.mobile_number != factor.confirmed_number)
            .then_some(Intent::ChangeNumber),
        (_, true) => Some(Intent::Enable),
        (_, false) => None,
    }
}
