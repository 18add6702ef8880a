//! Types of events that account-admin makes or acts on. Others pass through by name: the services
//! that make them own their vocabulary (OWASP logging vocabulary where it has a word).

use std::collections::BTreeMap;

/// Organisation made.
pub const ORGANISATION_CREATED: &str = "organisation_created";
/// User made.
pub const USER_CREATED: &str = "user_created";
/// Profile changed.
pub const USER_UPDATED: &str = "user_updated";
/// Kept from signing in.
pub const USER_DISABLED: &str = "user_disabled";
/// Let in again.
pub const USER_ENABLED: &str = "user_enabled";
/// Deleted, for as long as it can be undone and for good behind it.
pub const USER_DELETED: &str = "user_deleted";
/// A deletion undone.
pub const USER_RESTORED: &str = "user_restored";
/// Put into role groups or taken out of them.
pub const ROLE_GROUPS_CHANGED: &str = "privilege_permissions_changed";
/// An administrator had a link mailed that sets another password.
pub const PASSWORD_RESET_STARTED: &str = "password_reset_started";
/// Seat given.
pub const LICENCE_ASSIGNED: &str = "licence_assigned";
/// Seat taken back.
pub const LICENCE_REMOVED: &str = "licence_removed";
/// Domain approved.
pub const DOMAIN_APPROVED: &str = "domain_approved";
/// A person asked for what he may not have.
pub const AUTHZ_FAIL: &str = "authz_fail";
/// Somebody read another's events.
pub const LOG_READ: &str = "log_read";

/// What an event of another service changes in the user's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// He signed in; an invited user has become active.
    SignedIn,
    /// He set a password; an invited user has become active.
    Activated,
    /// The second factor is on.
    TwoFactorOn,
    /// The second factor is off.
    TwoFactorOff,
}

/// The effect of an event type. A factor disabled by wrong tries (`authn_second_factor_disabled`)
/// has none: sign-in asks for it as before.
///
/// A sign-in is complete with the password where no second step follows (`next_step`), else with
/// the code or the recovery code. A password or code typed again inside a session (`purpose`) is
/// none.
pub fn effect(kind: &str, details: &BTreeMap<String, String>) -> Option<Effect> {
    let detail = |key: &str| details.get(key).map(String::as_str);
    match kind {
        "authn_login_success" => {
            let complete = detail("next_step") != Some("second_factor");
            (complete && detail("purpose").is_none()).then_some(Effect::SignedIn)
        }
        "authn_second_factor_success" => {
            let signs_in =
                detail("purpose") == Some("sign_in") || detail("method") == Some("recovery_code");
            signs_in.then_some(Effect::SignedIn)
        }
        "authn_password_change" => Some(Effect::Activated),
        "two_factor_enabled" => Some(Effect::TwoFactorOn),
        "two_factor_disabled" => Some(Effect::TwoFactorOff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_counts_once_and_only_when_it_is_complete() {
        let of = |kind: &str, details: &[(&str, &str)]| {
            let details = details
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            effect(kind, &details)
        };
        let password = "authn_login_success";
        let second = "authn_second_factor_success";
        assert_eq!(
            of(password, &[("next_step", "none")]),
            Some(Effect::SignedIn)
        );
        assert_eq!(of(password, &[("next_step", "second_factor")]), None);
        assert_eq!(of(password, &[("purpose", "confirmation")]), None);
        assert_eq!(
            of(second, &[("purpose", "sign_in")]),
            Some(Effect::SignedIn)
        );
        assert_eq!(
            of(second, &[("method", "recovery_code")]),
            Some(Effect::SignedIn)
        );
        assert_eq!(
            of(second, &[("method", "sms"), ("purpose", "step_up")]),
            None
        );
        assert_eq!(of("authn_second_factor_disabled", &[]), None);
    }
}
