//! My account: the form with its one Save, and the blocks Security and Usage.

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use sallyport_phone::{Country, PhoneNumber};
use sallyport_proto::admin::v1::ProfileFields;
use sallyport_proto::identity::v1::{
    GetTwoFactorRequest, GetTwoFactorResponse, ListBrowsersRequest, ListSessionsRequest,
    TwoFactorState,
};
use sallyport_proto::otp::v1::{ListCountriesRequest, ListCountriesResponse};

use super::devices::{BrowserRow, SessionRow};
use super::frame::{self, Choice, Errors, Field, Frame, Pick};
use super::{Reader, Told, signed_in};
use crate::App;
use crate::guard::Form;
use crate::moment::{Moment, wait};
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::words::{Language, Words};

/// The fields of the form, in its order.
pub(super) const FIELDS: [&str; 8] = [
    "mobile_number",
    "country",
    "default_sms_country",
    "first_name",
    "last_name",
    "time_zone",
    "date_format",
    "locale",
];

/// What stands in the form: what is stored, or what was typed.
pub(super) struct Typed {
    pub fields: ProfileFields,
    /// The picked country.
    pub country: String,
    /// How the number will be dialled, where that was asked without script.
    pub dialled: String,
    /// The box.
    pub two_factor: bool,
    /// The version that the form was made from.
    pub version: u64,
}

impl Typed {
    /// What is stored.
    fn stored(reader: &Reader, active: bool) -> Self {
        let mut fields = reader.fields();
        let number = PhoneNumber::parse_e164(&fields.mobile_number).ok();
        let own = number
            .as_ref()
            .and_then(PhoneNumber::country)
            .map(Country::code);
        if let Some(number) = &number {
            fields.mobile_number = number.international();
        }
        Self {
            country: own.map_or_else(|| fields.default_sms_country.clone(), str::to_owned),
            dialled: String::new(),
            fields,
            two_factor: active,
            version: reader.profile.version,
        }
    }

    /// What was typed.
    pub(super) fn posted(posted: &Form) -> Self {
        Self {
            fields: ProfileFields {
                first_name: posted.text("first_name"),
                last_name: posted.text("last_name"),
                mobile_number: posted.text("mobile_number"),
                default_sms_country: posted.text("default_sms_country"),
                time_zone: posted.text("time_zone"),
                date_format: posted.text("date_format"),
                locale: posted.text("locale"),
            },
            country: posted.text("country"),
            dialled: String::new(),
            two_factor: posted.ticked("two_factor"),
            version: posted.text("version").parse().unwrap_or(0),
        }
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    f: Frame,
    email: String,
    plan: String,
    plan_ends: Option<Moment>,
    country: Choice,
    number: Field,
    dialled: String,
    two_factor: bool,
    version: u64,
    default_country: Choice,
    first_name: Field,
    last_name: Field,
    time_zone: Choice,
    date_format: Choice,
    locale: Choice,
    factor: Factor,
    sessions: Vec<SessionRow>,
    browsers: Vec<BrowserRow>,
    last_sign_in: Option<Moment>,
}

/// The second factor, as the page tells of it.
struct Factor {
    active: bool,
    disabled: bool,
    /// Since when an authenticator app is set up.
    authenticator: Option<Moment>,
    /// How many passkeys there are.
    passkeys: usize,
    required: bool,
    codes_left: u32,
    few_codes: bool,
    /// The last two digits of the confirmed number.
    ending: String,
    /// The number of the profile is another one than the confirmed one.
    unconfirmed: bool,
}

/// The page.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let factor = two_factor(&app, &visitor).await?;
    let typed = Typed::stored(&reader, factor.state() == TwoFactorState::Active);
    let mut errors = Errors::default();
    match told.why(reader.w) {
        // Refused only when the code was to be sent: what helps is typed at the number all the same.
        Some(why) if told.why.starts_with("phone.") => errors.field("mobile_number", why),
        why => errors.alert = why,
    }
    let mut f = Frame::of(&app, &reader, reader.w.my_account()).with_errors(&errors);
    f.notice = notice(reader.w, &told);
    let mut shown = form(&app, &reader, &factor, f, &typed, &errors).await?;
    // What is told of the request before is no error of this one.
    *shown.status_mut() = StatusCode::OK;
    Ok(frame::with_cookies(shown, &reader.cookies()))
}

/// What was done, and what is left of the recovery codes where one was used for it. Switched off,
/// 2FA has none any more.
fn notice(w: Words, told: &Told) -> Option<String> {
    let left = told.left(w).filter(|_| told.done != "two_factor_off");
    let parts: Vec<String> = done(w, told).into_iter().chain(left).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn done(w: Words, told: &Told) -> Option<String> {
    let text = match told.done.as_str() {
        "saved" => w.done_saved(),
        "saved_unsent" => {
            let seconds = told.wait.parse().ok();
            return Some(match seconds {
                Some(seconds) => w.done_saved_unsent_until(wait(w, seconds)),
                None => w.done_saved_unsent().to_owned(),
            });
        }
        "two_factor_on" => w.done_two_factor_on(),
        "two_factor_off" => w.done_two_factor_off(),
        "number" => w.done_number(),
        "password" => w.done_password(),
        "sessions" => w.done_sessions(),
        "browsers" => w.done_browsers(),
        "authenticator" => w.done_authenticator(),
        "authenticator_removed" => w.done_authenticator_removed(),
        "cancelled" => w.done_cancelled(),
        _ => return None,
    };
    Some(text.to_owned())
}

/// Where the second factor stands.
pub(super) async fn two_factor(
    app: &App,
    visitor: &Visitor,
) -> Result<GetTwoFactorResponse, Problem> {
    let answer = app
        .clients
        .two_factor()
        .get_two_factor(visitor.ask(GetTwoFactorRequest {}))
        .await?;
    Ok(answer.into_inner())
}

/// Writes the form with what is given.
pub(super) async fn form(
    app: &App,
    reader: &Reader,
    factor: &GetTwoFactorResponse,
    f: Frame,
    typed: &Typed,
    errors: &Errors,
) -> Result<Response, Problem> {
    let (w, visitor) = (reader.w, &reader.visitor);
    let mut numbers = app.clients.number();
    let mut sign_ins = app.clients.sign_in();
    let mut factors = app.clients.two_factor();
    let own_browser = visitor
        .browser
        .as_ref()
        .map(|token| token.expose().to_owned());
    let (countries, sessions, browsers) = tokio::join!(
        numbers.list_countries(visitor.ask(ListCountriesRequest {})),
        sign_ins.list_sessions(visitor.ask(ListSessionsRequest {})),
        factors.list_browsers(visitor.ask(ListBrowsersRequest {
            browser_token: own_browser.unwrap_or_default(),
        })),
    );
    let served = served(countries?.into_inner(), w);
    let fields = &typed.fields;
    let likely = likely(&served, &fields.default_sms_country, &visitor.regions);
    let licence = reader.profile.licence.clone().unwrap_or_default();
    let template = AccountPage {
        email: reader.profile.email.clone(),
        plan: licence.plan_name,
        plan_ends: reader.reading.wire(&licence.expires_at),
        country: picker("country", w.country(), w, &likely, &served, &typed.country)
            .filter(w.country_filter())
            .error(errors),
        number: Field::text("mobile_number", w.mobile_number())
            .hint(w.mobile_hint())
            .value(&fields.mobile_number)
            .fill("tel", "tel")
            .most(40)
            .error(errors),
        dialled: typed.dialled.clone(),
        two_factor: typed.two_factor,
        version: typed.version,
        default_country: picker(
            "default_sms_country",
            w.default_country(),
            w,
            &likely,
            &served,
            &fields.default_sms_country,
        )
        .hint(w.default_country_hint())
        .error(errors),
        first_name: Field::text("first_name", w.first_name())
            .value(&fields.first_name)
            .fill("given-name", "")
            .most(100)
            .error(errors),
        last_name: Field::text("last_name", w.last_name())
            .value(&fields.last_name)
            .fill("family-name", "")
            .most(100)
            .error(errors),
        time_zone: zones(w, &fields.time_zone).error(errors),
        date_format: formats(w, app, reader, &fields.date_format).error(errors),
        locale: locales("locale", w, &fields.locale).error(errors),
        factor: Factor::of(factor, reader),
        sessions: sessions?
            .into_inner()
            .sessions
            .into_iter()
            .map(|session| SessionRow::of(session, reader))
            .collect(),
        browsers: browsers?
            .into_inner()
            .browsers
            .into_iter()
            .map(|browser| BrowserRow::of(browser, reader))
            .collect(),
        last_sign_in: reader.reading.wire(&reader.profile.last_sign_in_at),
        f: f.script("number.js"),
    };
    Ok(frame::show(frame::status(errors), &template))
}

impl Factor {
    fn of(factor: &GetTwoFactorResponse, reader: &Reader) -> Self {
        let active = factor.state() == TwoFactorState::Active;
        let number = reader.fields().mobile_number;
        let confirmed = &factor.confirmed_number;
        Self {
            active,
            disabled: factor.state() == TwoFactorState::Disabled,
            authenticator: reader.reading.wire(&factor.authenticator_since),
            passkeys: factor.passkeys.len(),
            required: factor.required_by_policy,
            codes_left: factor.recovery_codes_left,
            few_codes: factor.recovery_codes_left <= 2,
            ending: PhoneNumber::parse_e164(confirmed)
                .map(|number| number.last_two().to_owned())
                .unwrap_or_default(),
            unconfirmed: active && !number.is_empty() && number != *confirmed,
        }
    }
}

/// The served countries, by their names.
pub(super) fn served(countries: ListCountriesResponse, w: Words) -> Vec<Country> {
    let mut served: Vec<Country> = countries
        .countries
        .iter()
        .filter_map(|c| c.country.parse().ok())
        .collect();
    let order = Country::all_by_name(w.language.of_countries());
    served.sort_by_key(|country| order.iter().position(|other| other == country));
    served
}

/// Countries that stand first: the reader's default, then those of his browser's languages.
pub(super) fn likely(served: &[Country], default: &str, regions: &[String]) -> Vec<Country> {
    let mut likely: Vec<Country> = Vec::new();
    for code in std::iter::once(default).chain(regions.iter().map(String::as_str)) {
        if let Ok(country) = code.parse::<Country>()
            && served.contains(&country)
            && !likely.contains(&country)
        {
            likely.push(country);
        }
    }
    likely
}

/// A country picker. None is chosen unless it is the reader's own.
pub(super) fn picker(
    id: &'static str,
    label: &str,
    w: Words,
    likely: &[Country],
    served: &[Country],
    chosen: &str,
) -> Choice {
    let pick = |country: &Country, chosen: &str| {
        let (name, code) = (
            country.name(w.language.of_countries()),
            country.calling_code(),
        );
        Pick::new(country.code(), format!("{name} (+{code})"), chosen)
            .keys(format!("{} +{code} 00{code}", country.code()))
    };
    let none = Pick::new("", w.country_none(), chosen);
    // Chosen once: a second option of the same value would be chosen in its place.
    let first: Vec<Pick> = likely.iter().map(|country| pick(country, chosen)).collect();
    let again = |country: &Country| {
        if likely.contains(country) {
            "-"
        } else {
            chosen
        }
    };
    let all: Vec<Pick> = served
        .iter()
        .map(|country| pick(country, again(country)))
        .collect();
    let mut groups = vec![(String::new(), vec![none])];
    if !first.is_empty() {
        groups.push((w.countries_likely().to_owned(), first));
    }
    groups.push((w.countries_all().to_owned(), all));
    Choice::grouped(id, label, groups).fill("tel-country-code")
}

/// The zones of the tz database that people live in, with their continents; sorted.
static ZONES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    const CONTINENTS: [&str; 10] = [
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    ];
    let mut zones: Vec<(String, String)> = jiff::tz::db()
        .available()
        .filter_map(|name| {
            let continent = name.as_str().split_once('/')?.0.to_owned();
            CONTINENTS
                .contains(&continent.as_str())
                .then(|| (continent, name.as_str().to_owned()))
        })
        .collect();
    zones.sort();
    zones
});

/// A picker of time zones, by continent.
pub(super) fn zones(w: Words, chosen: &str) -> Choice {
    let mut groups = vec![(String::new(), vec![Pick::new("UTC", "UTC", chosen)])];
    for (continent, name) in ZONES.iter() {
        let place = name[continent.len() + 1..]
            .replace('_', " ")
            .replace('/', ", ");
        let pick = Pick::new(name, place, chosen);
        match groups.last_mut() {
            Some((label, picks)) if label == continent => picks.push(pick),
            _ => groups.push((continent.clone(), vec![pick])),
        }
    }
    Choice::grouped("time_zone", w.time_zone(), groups)
}

/// A picker of date formats, each as today is written in it.
pub(super) fn formats(w: Words, app: &App, reader: &Reader, chosen: &str) -> Choice {
    let now = app.clock.now();
    let picks = ["iso", "day_first", "month_first"].map(|format| {
        let mut reading = reader.reading.clone();
        format.clone_into(&mut reading.format);
        let date = reading
            .at(now)
            .text
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        Pick::new(format, date, chosen)
    });
    Choice::new("date_format", w.date_format(), picks.into())
}

/// English or French, each in its own name.
pub(super) fn locales(id: &'static str, w: Words, chosen: &str) -> Choice {
    let picks = vec![
        Pick::new("en", "English", chosen),
        Pick::new("fr", "Français", chosen),
    ];
    Choice::new(id, w.language_label(), picks).fill("language")
}

/// The language of a form that names one; the reader's own where it does not.
pub(super) fn language_of(code: &str, reader: &Reader) -> Language {
    Language::from_code(code).unwrap_or(reader.w.language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_countries_are_served_ones_in_order() {
        let served: Vec<Country> = ["CA", "FR", "US"].map(|c| c.parse().unwrap()).into();
        let regions = ["DE".to_owned(), "CA".to_owned(), "FR".to_owned()];
        let codes: Vec<_> = likely(&served, "FR", &regions)
            .iter()
            .map(|c| c.code())
            .collect();
        assert_eq!(codes, ["FR", "CA"]);
        assert!(likely(&served, "", &[]).is_empty());
    }
}
