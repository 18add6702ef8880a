//! The other ways to give a second factor, below the page of one for which no message is sent.

use askama::Template;
use sallyport_proto::identity::v1::ListFactorsResponse;

use super::Told;
use super::code::lost_path;
use crate::session::with_query;
use crate::words::Words;

/// Where they are; empty where the user has no such factor, or stands on its page.
#[derive(Template)]
#[template(path = "other_ways.html")]
pub(super) struct OtherWays {
    w: Words,
    recovery_path: String,
    passkey_path: String,
    authenticator_path: String,
    sms_path: String,
    lost_path: String,
}

impl OtherWays {
    /// Those beside the page at the path `here`, which carry on what it carries.
    pub fn beside(
        here: &str,
        w: Words,
        told: &Told,
        factors: &ListFactorsResponse,
        sign_in: bool,
    ) -> Self {
        let pairs = [("next", told.next()), ("go", told.go.as_str())];
        let way = |path: &str, there: bool| {
            if there && path != here {
                with_query(path, &pairs)
            } else {
                String::new()
            }
        };
        let has_number = !factors.number_ending.is_empty();
        Self {
            w,
            recovery_path: way("/recovery", true),
            passkey_path: way("/passkey", factors.passkey),
            authenticator_path: way("/authenticator", factors.authenticator),
            sms_path: if has_number {
                with_query("/code", &[pairs[0], pairs[1], ("by", "sms")])
            } else {
                String::new()
            },
            lost_path: lost_path(told, sign_in && has_number),
        }
    }
}
