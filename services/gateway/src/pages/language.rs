//! The language switch before sign-in.

use axum::response::Response;

use super::{frame, redirect};
use crate::guard::Form;
use crate::session::{Cookies, local};
use crate::words::Language;

/// Remembers the language and comes back.
pub(crate) async fn switch(form: Form) -> Response {
    let mut cookies = Cookies::default();
    if let Some(language) = Language::from_code(form.raw("to")) {
        cookies.language(language);
    }
    frame::with_cookies(redirect(local(form.raw("back")).unwrap_or("/")), &cookies)
}
