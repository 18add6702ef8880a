//! What every page is made of: the frame with bar, messages and error summary, and form fields.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use sallyport_chassis::{Refusal, Secret};

use super::Reader;
use crate::App;
use crate::problem::Problem;
use crate::refusals;
use crate::session::Cookies;
use crate::visitor::Visitor;
use crate::words::{Language, Words};
use crate::{assets, csrf};

/// Bar, messages and hidden fields of a page.
pub(crate) struct Frame {
    /// The terms of the reader's language.
    pub w: Words,
    /// The page's heading.
    pub title: String,
    /// The name in the bar.
    pub portal: String,
    /// The signed-in reader; `None` before.
    pub who: Option<Who>,
    /// The token of the page's forms.
    pub csrf: String,
    /// The nonce of the page's forms; forms that do different things differ by their address.
    pub nonce: String,
    /// What was done.
    pub notice: Option<String>,
    /// What was not done, where it is about no field.
    pub alert: Option<String>,
    /// Fields with errors: id and sentence, in the order of the page.
    pub summary: Vec<(&'static str, String)>,
    /// Path and query, for the language switch to come back to.
    pub here: String,
    /// Whether the language switch stands in the bar: with a session the reader's own holds.
    pub switch: bool,
    /// Scripts that the page is better with.
    pub scripts: Vec<&'static str>,
    /// Whether the page is a table, which may be wide.
    pub wide: bool,
}

/// The signed-in reader, as the bar shows him.
pub(crate) struct Who {
    /// First and last name, or the e-mail address.
    pub name: String,
    /// "user_management"
    pub users: bool,
    /// "domain_management"
    pub domains: bool,
}

impl Frame {
    /// A page before sign-in, or on the way through it: its forms are bound to `__Host-pre`.
    pub(crate) fn before(app: &App, visitor: &Visitor, title: impl Into<String>) -> Self {
        Self::under(app, visitor, visitor.words(), &visitor.pre, title)
    }

    /// A page of the session, whatever its stage.
    pub(crate) fn within(app: &App, visitor: &Visitor, w: Words, title: impl Into<String>) -> Self {
        let cookie = visitor.caller.bearer.as_ref().unwrap_or(&visitor.pre);
        Self::under(app, visitor, w, cookie, title)
    }

    fn under(
        app: &App,
        visitor: &Visitor,
        w: Words,
        cookie: &Secret,
        title: impl Into<String>,
    ) -> Self {
        Self {
            w,
            title: title.into(),
            portal: app.settings.portal_name.clone(),
            who: None,
            csrf: csrf::token(cookie),
            nonce: csrf::nonce(),
            notice: None,
            alert: None,
            summary: Vec::new(),
            here: visitor.here.clone(),
            switch: visitor.caller.bearer.is_none(),
            scripts: Vec::new(),
            wide: false,
        }
    }

    /// A page of a signed-in reader.
    pub(crate) fn of(app: &App, reader: &Reader, title: impl Into<String>) -> Self {
        let mut frame = Self::within(app, &reader.visitor, reader.w, title);
        let fields = reader.fields();
        let name = format!("{} {}", fields.first_name, fields.last_name);
        let may = |permission: &str| reader.session.permissions.iter().any(|p| p == permission);
        if !reader.profile.organisation_name.is_empty() {
            frame.portal = reader.profile.organisation_name.clone();
        }
        frame.who = Some(Who {
            name: match name.trim() {
                "" => reader.profile.email.clone(),
                name => name.to_owned(),
            },
            users: may("user_management"),
            domains: may("domain_management"),
        });
        frame
    }

    /// Shows the errors of a form.
    pub(crate) fn with_errors(mut self, errors: &Errors) -> Self {
        self.alert = errors.alert.clone();
        self.summary = errors.fields.clone();
        self
    }

    /// A script that the page is better with.
    pub(crate) fn script(mut self, name: &'static str) -> Self {
        self.scripts.push(name);
        self
    }

    /// A page that holds a table.
    pub(crate) fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// The address of an asset.
    pub(crate) fn asset(&self, name: &str) -> &'static str {
        assets::address(name)
    }

    /// The code of the language that the switch offers, and its own name for itself.
    pub(crate) fn other_language(&self) -> (&'static str, &'static str, &'static str) {
        match self.w.language {
            Language::English => ("fr", "fr-CA", "Français"),
            Language::French => ("en", "en", "English"),
        }
    }

    /// Whether something stands above the form that the reader must see first.
    pub(crate) fn troubled(&self) -> bool {
        self.alert.is_some() || !self.summary.is_empty()
    }
}

/// The errors of a form.
#[derive(Default)]
pub(crate) struct Errors {
    fields: Vec<(&'static str, String)>,
    /// About no field of this page.
    pub alert: Option<String>,
}

impl Errors {
    /// The sentences of a refusal: at their fields where the page has them, else above the form.
    pub(crate) fn of(w: Words, refusal: &Refusal, known: &[&'static str]) -> Self {
        let mut errors = Self::default();
        errors.add(w, refusal, known);
        errors
    }

    /// Adds the sentences of another refusal.
    pub(crate) fn add(&mut self, w: Words, refusal: &Refusal, known: &[&'static str]) {
        let mut placed = false;
        for (name, reason) in &refusal.fields {
            let last = name.rsplit('.').next().unwrap_or(name);
            if let Some(id) = known.iter().find(|id| **id == last) {
                self.field(id, refusals::field(w, refusal, reason));
                placed = true;
            }
        }
        if !placed {
            self.alert = Some(refusals::sentence(w, refusal));
        }
    }

    /// Adds a field's sentence, unless it has one.
    pub(crate) fn field(&mut self, id: &'static str, sentence: impl Into<String>) {
        if self.at(id).is_empty() {
            self.fields.push((id, sentence.into()));
        }
    }

    /// Adds "fill this in" where nothing was typed.
    pub(crate) fn required(&mut self, w: Words, id: &'static str, value: &str) {
        if value.trim().is_empty() {
            self.field(id, w.r_field_required());
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.alert.is_none()
    }

    /// The sentence of a field; empty where it has none.
    pub(crate) fn at(&self, id: &str) -> String {
        self.fields
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, text)| text.clone())
            .unwrap_or_default()
    }
}

/// A field in which something is typed.
#[derive(Template)]
#[template(path = "field.html")]
pub(crate) struct Field {
    id: &'static str,
    kind: &'static str,
    label: String,
    hint: String,
    value: String,
    error: String,
    autocomplete: &'static str,
    inputmode: &'static str,
    class: &'static str,
    most: u32,
    required: bool,
    focus: bool,
}

impl Field {
    /// A line of text.
    pub(crate) fn text(id: &'static str, label: impl Into<String>) -> Self {
        Self {
            id,
            kind: "text",
            label: label.into(),
            hint: String::new(),
            value: String::new(),
            error: String::new(),
            autocomplete: "off",
            inputmode: "",
            class: "",
            most: 256,
            required: false,
            focus: false,
        }
    }

    /// An e-mail address.
    pub(crate) fn email(id: &'static str, label: impl Into<String>) -> Self {
        let mut field = Self::text(id, label);
        field.kind = "email";
        field.inputmode = "email";
        field.autocomplete = "username";
        field
    }

    /// A password; it is never written back.
    pub(crate) fn password(id: &'static str, label: impl Into<String>, fill: &'static str) -> Self {
        let mut field = Self::text(id, label);
        field.kind = "password";
        field.autocomplete = fill;
        field.most = 1024;
        field
    }

    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = text.into();
        self
    }

    pub(crate) fn value(mut self, text: impl Into<String>) -> Self {
        self.value = text.into();
        self
    }

    pub(crate) fn error(mut self, errors: &Errors) -> Self {
        self.error = errors.at(self.id);
        self
    }

    pub(crate) fn fill(mut self, autocomplete: &'static str, inputmode: &'static str) -> Self {
        self.autocomplete = autocomplete;
        self.inputmode = inputmode;
        self
    }

    pub(crate) fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    pub(crate) fn most(mut self, characters: u32) -> Self {
        self.most = characters;
        self
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The field that is typed in first, on pages without an error summary.
    pub(crate) fn first(mut self, frame: &Frame) -> Self {
        self.focus = !frame.troubled();
        self
    }

    fn described(&self) -> String {
        described(self.id, &self.hint, &self.error)
    }
}

/// A field in which something is picked.
#[derive(Template)]
#[template(path = "choice.html")]
pub(crate) struct Choice {
    id: &'static str,
    label: String,
    hint: String,
    error: String,
    autocomplete: &'static str,
    /// A field above that narrows the list; its label.
    filter: String,
    groups: Vec<(String, Vec<Pick>)>,
}

/// One thing to pick.
pub(crate) struct Pick {
    value: String,
    text: String,
    /// What else it is found by: code and calling code of a country.
    keys: String,
    chosen: bool,
}

impl Pick {
    pub(crate) fn new(value: impl Into<String>, text: impl Into<String>, chosen: &str) -> Self {
        let value = value.into();
        Self {
            chosen: value == chosen,
            value,
            text: text.into(),
            keys: String::new(),
        }
    }

    pub(crate) fn keys(mut self, keys: String) -> Self {
        self.keys = keys;
        self
    }
}

impl Choice {
    pub(crate) fn new(id: &'static str, label: impl Into<String>, picks: Vec<Pick>) -> Self {
        Self::grouped(id, label, vec![(String::new(), picks)])
    }

    pub(crate) fn grouped(
        id: &'static str,
        label: impl Into<String>,
        groups: Vec<(String, Vec<Pick>)>,
    ) -> Self {
        Self {
            id,
            label: label.into(),
            hint: String::new(),
            error: String::new(),
            autocomplete: "off",
            filter: String::new(),
            groups,
        }
    }

    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = text.into();
        self
    }

    pub(crate) fn error(mut self, errors: &Errors) -> Self {
        self.error = errors.at(self.id);
        self
    }

    pub(crate) fn fill(mut self, autocomplete: &'static str) -> Self {
        self.autocomplete = autocomplete;
        self
    }

    pub(crate) fn filter(mut self, label: impl Into<String>) -> Self {
        self.filter = label.into();
        self
    }

    fn described(&self) -> String {
        described(self.id, &self.hint, &self.error)
    }
}

fn described(id: &str, hint: &str, error: &str) -> String {
    let mut ids = Vec::new();
    if !hint.is_empty() {
        ids.push(format!("{id}-hint"));
    }
    if !error.is_empty() {
        ids.push(format!("{id}-error"));
    }
    ids.join(" ")
}

/// Writes a page.
pub(crate) fn show(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The status of a form's page: 200, or 422 where the form has errors.
pub(crate) fn status(errors: &Errors) -> StatusCode {
    if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    }
}

/// The page of a form that a service refused: with the refusal's status, and when to try again.
pub(crate) fn refused(mut page: Response, refusal: Refusal) -> Response {
    let problem = Problem::from(refusal);
    *page.status_mut() = problem.status();
    problem.write(page.headers_mut());
    page
}

/// Adds cookies to an answer.
pub(crate) fn with_cookies(mut response: Response, cookies: &Cookies) -> Response {
    cookies.write(response.headers_mut());
    response
}

/// Keeps the language of the cookie in step with the reader's own, so that pages without a session
/// (an expired one, an error) speak it too.
pub(crate) fn language_cookie(visitor: &Visitor, language: Language) -> Cookies {
    let mut cookies = Cookies::default();
    if visitor.language != language {
        cookies.language(language);
    }
    cookies
}
