//! User Management: one user's information, role groups and access, under one Save.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sallyport_chassis::Refusal;
use sallyport_phone::{Country, PhoneNumber};
use sallyport_proto::admin::v1::{
    GetUserRequest, GetUserResponse, ListRoleGroupsRequest, ProfileFields, RoleGroup,
    UpdateUserRequest, UserFields,
};
use sallyport_proto::otp::v1::ListCountriesRequest;
use tonic::Code;

use super::account::{formats, likely, locales, picker, served, zones};
use super::frame::{self, Choice, Errors, Field, Frame};
use super::number::validated;
use super::users::full_name;
use super::{Reader, redirect, signed_in};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::words::Words;

/// The fields of the form, in its order.
const FIELDS: [&str; 11] = [
    "first_name",
    "last_name",
    "country",
    "mobile_number",
    "default_sms_country",
    "time_zone",
    "date_format",
    "locale",
    "role_group_ids",
    "two_factor_required",
    "disabled",
];

/// What stands in the form: what is stored, or what was typed.
struct Typed {
    fields: UserFields,
    /// The picked country.
    country: String,
    /// The version that the form was made from.
    version: u64,
}

impl Typed {
    fn stored(read: &GetUserResponse) -> Self {
        let mut fields = read.fields.clone().unwrap_or_default();
        let mut profile = fields.profile.take().unwrap_or_default();
        let number = PhoneNumber::parse_e164(&profile.mobile_number).ok();
        if let Some(number) = &number {
            profile.mobile_number = number.international();
        }
        let country = number.as_ref().and_then(PhoneNumber::country);
        fields.profile = Some(profile);
        Self {
            country: country.map_or_else(String::new, |country| country.code().to_owned()),
            fields,
            version: read.version,
        }
    }

    fn posted(posted: &Form) -> Self {
        let profile = ProfileFields {
            first_name: posted.text("first_name"),
            last_name: posted.text("last_name"),
            mobile_number: posted.text("mobile_number"),
            default_sms_country: posted.text("default_sms_country"),
            time_zone: posted.text("time_zone"),
            date_format: posted.text("date_format"),
            locale: posted.text("locale"),
        };
        Self {
            fields: UserFields {
                profile: Some(profile),
                role_group_ids: posted.all("role_group_ids"),
                disabled: posted.ticked("disabled"),
                two_factor_required: posted.ticked("two_factor_required"),
            },
            country: posted.text("country"),
            version: posted.text("version").parse().unwrap_or(0),
        }
    }
}

#[derive(Template)]
#[template(path = "user_edit.html")]
struct EditPage {
    f: Frame,
    name: String,
    email: String,
    version: u64,
    first_name: Field,
    last_name: Field,
    country: Choice,
    number: Field,
    default_country: Choice,
    time_zone: Choice,
    date_format: Choice,
    locale: Choice,
    groups: Vec<Group>,
    groups_error: String,
    two_factor_required: bool,
    disabled: bool,
}

struct Group {
    id: String,
    name: String,
    chosen: bool,
}

async fn read(app: &App, visitor: &Visitor, id: &str) -> Result<GetUserResponse, Problem> {
    let request = GetUserRequest {
        user_id: id.to_owned(),
    };
    let answer = app.clients.user().get_user(visitor.ask(request)).await?;
    Ok(answer.into_inner())
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let stored = read(&app, &visitor, &id).await?;
    let typed = Typed::stored(&stored);
    form(&app, &reader, stored, &typed, &Errors::default()).await
}

async fn form(
    app: &App,
    reader: &Reader,
    stored: GetUserResponse,
    typed: &Typed,
    errors: &Errors,
) -> Result<Response, Problem> {
    let (w, visitor) = (reader.w, &reader.visitor);
    let (mut users, mut numbers) = (app.clients.user(), app.clients.number());
    let (groups, countries) = tokio::join!(
        users.list_role_groups(visitor.ask(ListRoleGroupsRequest {})),
        numbers.list_countries(visitor.ask(ListCountriesRequest {})),
    );
    let user = stored.user.ok_or_else(Problem::not_found)?;
    let served = served(countries?.into_inner(), w);
    let profile = typed.fields.profile.clone().unwrap_or_default();
    let likely = likely(&served, &profile.default_sms_country, &visitor.regions);
    let countries = |id, label, chosen: &str| picker(id, label, w, &likely, &served, chosen);
    let hint = if user.two_factor_active {
        w.edit_number_locked()
    } else {
        w.edit_number_hint()
    };
    let template = EditPage {
        f: Frame::of(app, reader, w.edit_user()).with_errors(errors),
        name: full_name(&user),
        email: user.email,
        version: typed.version,
        first_name: Field::text("first_name", w.first_name())
            .value(&profile.first_name)
            .most(100)
            .error(errors),
        last_name: Field::text("last_name", w.last_name())
            .value(&profile.last_name)
            .most(100)
            .error(errors),
        country: countries("country", w.country(), &typed.country)
            .fill("off")
            .filter(w.country_filter())
            .error(errors),
        number: Field::text("mobile_number", w.mobile_number())
            .hint(hint)
            .value(&profile.mobile_number)
            .fill("off", "tel")
            .most(40)
            .error(errors),
        default_country: countries(
            "default_sms_country",
            w.default_country(),
            &profile.default_sms_country,
        )
        .fill("off")
        .error(errors),
        time_zone: zones(w, &profile.time_zone).error(errors),
        date_format: formats(w, app, reader, &profile.date_format).error(errors),
        locale: locales("locale", w, &profile.locale)
            .fill("off")
            .error(errors),
        groups: boxes(groups?.into_inner().role_groups, &typed.fields),
        groups_error: errors.at("role_group_ids"),
        two_factor_required: typed.fields.two_factor_required,
        disabled: typed.fields.disabled,
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(shown, &reader.cookies()))
}

fn boxes(groups: Vec<RoleGroup>, fields: &UserFields) -> Vec<Group> {
    groups
        .into_iter()
        .map(|group| Group {
            chosen: fields.role_group_ids.contains(&group.role_group_id),
            id: group.role_group_id,
            name: group.name,
        })
        .collect()
}

/// The Save.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    posted: Form,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let typed = Typed::posted(&posted);
    let mut fields = typed.fields.clone();
    let profile = fields.profile.get_or_insert_default();
    let number = std::mem::take(&mut profile.mobile_number);
    let mut refused = None;
    if !number.is_empty() {
        match validated(&app, &visitor, number, typed.country.clone()).await? {
            Ok(number) => profile.mobile_number = number.e164,
            Err(refusal) => refused = Some(refusal),
        }
    }
    let refusal = match refused {
        Some(refusal) => refusal,
        None => {
            let request = UpdateUserRequest {
                user_id: id.clone(),
                fields: Some(fields),
                version: typed.version,
            };
            match app.clients.user().update_user(visitor.ask(request)).await {
                Ok(_) => return Ok(redirect("/users?done=saved")),
                Err(status) => Problem::from(status).refusal()?,
            }
        }
    };
    if is_elsewhere(&refusal) {
        return Err(refusal.into());
    }
    let stored = read(&app, &visitor, &id).await?;
    let mut errors = Errors::default();
    errors.add(reader.w, &refusal, &FIELDS);
    if refusal.reason == "edit.conflict" {
        tell_differing(reader.w, &refusal, &stored, &mut errors);
    }
    let page = form(&app, &reader, stored, &typed, &errors).await?;
    Ok(frame::refused(page, refusal))
}

/// What this form cannot help with: another step first, another reader, or nobody to edit.
fn is_elsewhere(refusal: &Refusal) -> bool {
    ["second_factor_required", "step_up_required"].contains(&refusal.reason.as_str())
        || matches!(
            refusal.code,
            Code::Unauthenticated | Code::PermissionDenied | Code::NotFound
        )
}

/// What is stored now in the fields that differ from what was to be saved.
fn tell_differing(w: Words, refusal: &Refusal, stored: &GetUserResponse, errors: &mut Errors) {
    let fields = stored.fields.clone().unwrap_or_default();
    let profile = fields.profile.unwrap_or_default();
    let country = |code: &str| {
        let country: Option<Country> = code.parse().ok();
        country
            .map(|country| country.name(w.language.of_countries()).to_owned())
            .unwrap_or_default()
    };
    for differing in refusal.get("fields").unwrap_or_default().split(',') {
        let Some(id) = FIELDS.iter().copied().find(|id| *id == differing) else {
            continue;
        };
        let (label, value) = match id {
            "first_name" => (w.first_name(), profile.first_name.clone()),
            "last_name" => (w.last_name(), profile.last_name.clone()),
            "mobile_number" => (w.mobile_number(), profile.mobile_number.clone()),
            "default_sms_country" => (w.default_country(), country(&profile.default_sms_country)),
            "time_zone" => (w.time_zone(), profile.time_zone.clone()),
            "date_format" => (w.date_format(), String::new()),
            "locale" => (w.language_label(), String::new()),
            "role_group_ids" => (w.role_groups(), String::new()),
            "two_factor_required" => (w.require_two_factor(), String::new()),
            _ => (w.disable_user(), String::new()),
        };
        let sentence = if value.is_empty() {
            w.stored_other(label)
        } else {
            w.stored_now(label, value)
        };
        errors.field(id, sentence);
    }
}
