//! The user's own profile, and what the deployment accepts as a number.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use sallyport_proto::admin::v1 as wire;
use sallyport_proto::otp::v1::{ListCountriesRequest, ValidateNumberRequest};
use serde::{Deserialize, Serialize};
use tonic::Code;
use utoipa::ToSchema;

use super::error::Errors;
use super::{Answer, Body, Done, instant};
use crate::App;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// What the user may change himself.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    first_name: String,
    last_name: String,
    /// E.164, as validateNumber gives it, or empty.
    mobile_number: String,
    /// ISO 3166-1 alpha-2 or empty; pre-selects a picker and nothing else.
    default_sms_country: String,
    /// IANA name, e.g. `America/Toronto`.
    time_zone: String,
    /// `iso`, `day_first` or `month_first`.
    date_format: String,
    /// `en` or `fr`.
    locale: String,
}

impl From<wire::ProfileFields> for Fields {
    fn from(fields: wire::ProfileFields) -> Self {
        Self {
            first_name: fields.first_name,
            last_name: fields.last_name,
            mobile_number: fields.mobile_number,
            default_sms_country: fields.default_sms_country,
            time_zone: fields.time_zone,
            date_format: fields.date_format,
            locale: fields.locale,
        }
    }
}

impl From<Fields> for wire::ProfileFields {
    fn from(fields: Fields) -> Self {
        Self {
            first_name: fields.first_name,
            last_name: fields.last_name,
            mobile_number: fields.mobile_number,
            default_sms_country: fields.default_sms_country,
            time_zone: fields.time_zone,
            date_format: fields.date_format,
            locale: fields.locale,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Licence {
    plan_id: String,
    plan_name: String,
    expires_at: Option<Timestamp>,
}

impl From<wire::Licence> for Licence {
    fn from(licence: wire::Licence) -> Self {
        Self {
            expires_at: instant(&licence.expires_at),
            plan_id: licence.plan_id,
            plan_name: licence.plan_name,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Profile {
    user_id: String,
    /// To be sent back with a change.
    version: u64,
    email: String,
    organisation_id: String,
    organisation_name: String,
    licence: Option<Licence>,
    fields: Fields,
    permissions: Vec<String>,
    two_factor_active: bool,
    last_sign_in_at: Option<Timestamp>,
}

fn profile_of(profile: Option<wire::Profile>) -> Answer<Profile> {
    let profile = profile.ok_or(Problem::Failed(Code::Internal))?;
    Ok(Json(Profile {
        last_sign_in_at: instant(&profile.last_sign_in_at),
        user_id: profile.user_id,
        version: profile.version,
        email: profile.email,
        organisation_id: profile.organisation_id,
        organisation_name: profile.organisation_name,
        licence: profile.licence.map(Licence::from),
        fields: profile.fields.unwrap_or_default().into(),
        permissions: profile.permissions,
        two_factor_active: profile.two_factor_active,
    }))
}

/// The user's own profile
#[utoipa::path(get, path = "/profile", operation_id = "getProfile", tag = "profile",
    security(("session" = [])), responses((status = 200, body = Profile), Errors))]
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Profile> {
    let ask = visitor.ask(wire::GetProfileRequest {});
    profile_of(
        app.clients
            .profile()
            .get_profile(ask)
            .await?
            .into_inner()
            .profile,
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutProfile {
    /// The version that was read; a newer one refuses the change (`edit.conflict`).
    version: u64,
    fields: Fields,
}

/// Changes the user's own profile
#[utoipa::path(put, path = "/profile", operation_id = "putProfile", tag = "profile",
    security(("session" = [])), request_body = PutProfile,
    responses((status = 200, body = Profile), Errors))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<PutProfile>,
) -> Answer<Profile> {
    let ask = visitor.ask(wire::UpdateProfileRequest {
        fields: Some(body.fields.into()),
        version: body.version,
    });
    profile_of(
        app.clients
            .profile()
            .update_profile(ask)
            .await?
            .into_inner()
            .profile,
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidateProfile {
    fields: Fields,
}

/// Says every field that is wrong, at once; changes nothing
#[utoipa::path(post, path = "/profile/validate", operation_id = "validateProfile", tag = "profile",
    security(("session" = [])), request_body = ValidateProfile,
    responses((status = 204), Errors))]
pub(crate) async fn validate(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<ValidateProfile>,
) -> Done {
    let ask = visitor.ask(wire::ValidateProfileRequest {
        fields: Some(body.fields.into()),
    });
    app.clients.profile().validate_profile(ask).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidateNumber {
    /// As typed.
    number: String,
    /// ISO 3166-1 alpha-2 of the picked country; may be left out for a full `+…`.
    #[serde(default)]
    country: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Number {
    /// `+33612345678`
    e164: String,
    /// As it is dialled: `+33 6 12 34 56 78`.
    international: String,
    country: String,
}

/// Reads a number as a person types it; changes nothing
#[utoipa::path(post, path = "/numbers/validate", operation_id = "validateNumber", tag = "profile",
    security(("session" = [])), request_body = ValidateNumber,
    responses((status = 200, body = Number), Errors))]
pub(crate) async fn validate_number(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<ValidateNumber>,
) -> Answer<Number> {
    app.clients.session_that_may_enrol(&visitor).await?;
    let request = ValidateNumberRequest {
        input: body.number,
        country: body.country,
    };
    let answer = app
        .clients
        .number()
        .validate_number(visitor.ask(request))
        .await?
        .into_inner();
    Ok(Json(Number {
        e164: answer.e164,
        international: answer.international,
        country: answer.country,
    }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Countries {
    countries: Vec<Country>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Country {
    /// ISO 3166-1 alpha-2.
    country: String,
    calling_code: u32,
}

/// The countries that the deployment sends to
#[utoipa::path(get, path = "/countries", operation_id = "listCountries", tag = "profile",
    security(("session" = [])), responses((status = 200, body = Countries), Errors))]
pub(crate) async fn countries(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Countries> {
    app.clients.session_that_may_enrol(&visitor).await?;
    let ask = visitor.ask(ListCountriesRequest {});
    let answer = app.clients.number().list_countries(ask).await?.into_inner();
    let countries = answer.countries.into_iter().map(|served| Country {
        country: served.country,
        calling_code: served.calling_code,
    });
    Ok(Json(Countries {
        countries: countries.collect(),
    }))
}
