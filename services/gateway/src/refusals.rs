//! Reason of a refusal → sentence, in both languages, from one table.

use sallyport_chassis::Refusal;
use sallyport_phone::Country;

use crate::moment::wait;
use crate::problem::retry_seconds;
use crate::words::Words;

/// The sentence of a refusal. A reason that is not in the table gets "Something went wrong", to which
/// pages add the request id.
pub(crate) fn sentence(words: Words, refusal: &Refusal) -> String {
    known(words, refusal).unwrap_or_else(|| words.something_wrong().to_owned())
}

/// The sentence of a field's reason inside a refusal.
pub(crate) fn field(words: Words, refusal: &Refusal, reason: &str) -> String {
    let mut own = refusal.clone();
    own.reason = reason.to_owned();
    sentence(words, &own)
}

/// The sentence of a reason in the table. `tests/service/reasons.rs` holds it to what the services
/// give.
pub(crate) fn known(words: Words, refusal: &Refusal) -> Option<String> {
    let w = words;
    let delay = || wait(w, retry_seconds(refusal).unwrap_or(60));
    let value = |key: &str| refusal.get(key).unwrap_or_default().to_owned();
    // Countries travel as their codes and are read by their names.
    let country = |key: &str| {
        let country: Country = refusal.get(key)?.parse().ok()?;
        Some(country.name(w.language.of_countries()).to_owned())
    };
    let text = match refusal.reason.as_str() {
        "session.required" => w.r_session_required(),
        "session.expired" => w.r_session_expired(),
        "session.not_found" => w.r_session_not_found(),
        "session.signed_in" => w.r_session_signed_in(),
        "browser.not_found" => w.r_browser_not_found(),
        "second_factor_required" => w.r_second_factor_required(),
        "password_confirmation_required" => w.r_password_confirmation_required(),
        "step_up_required" => w.r_step_up_required(),
        "sign_in.failed" => w.r_sign_in_failed(),
        "sign_in.delayed" => match value("way_in").as_str() {
            // No waiting helps.
            "password_reset" => w.r_sign_in_closed(),
            _ => return Some(w.r_sign_in_delayed(delay())),
        },
        "sign_in.busy" => return Some(w.r_sign_in_busy(delay())),
        "second_factor.locked" => return Some(w.r_second_factor_locked(delay())),
        "second_factor.disabled" => w.r_second_factor_disabled(),
        "second_factor.not_disabled" => w.r_second_factor_not_disabled(),
        "link.password_by_mail" => w.r_link_password_by_mail(),
        "link.limit" => return Some(w.r_link_limit(delay())),
        "code.format" => w.r_code_format(),
        "code.wrong" => match value("tries_left").parse::<u32>() {
            // Tries are told from the third wrong one on.
            Ok(0) => w.r_code_ended(),
            Ok(1) => w.r_code_wrong_last(),
            Ok(left) if left <= 2 => return Some(w.r_code_wrong_left(left)),
            _ => w.r_code_wrong(),
        },
        "code.expired" => w.r_code_expired(),
        "code.used" => w.r_code_used(),
        "code.ended" => w.r_code_ended(),
        "code.none" => w.r_code_none(),
        "code.resend_too_early" => return Some(w.r_code_resend_too_early(delay())),
        "code.no_sends_left" => w.r_code_no_sends_left(),
        "sms.quota" => return Some(w.r_sms_quota(delay())),
        "sms.limit" => return Some(w.r_sms_limit(delay())),
        "authenticator.wrong" => w.r_authenticator_wrong(),
        "authenticator.used" => w.r_authenticator_used(),
        "authenticator.not_active" => w.r_authenticator_not_active(),
        "authenticator.enrolment_ended" => w.r_authenticator_enrolment_ended(),
        "authenticator.last_factor" => w.r_authenticator_last_factor(),
        "passkey.format" => w.r_passkey_format(),
        "passkey.wrong" => w.r_passkey_wrong(),
        "passkey.counter" => w.r_passkey_counter(),
        "passkey.ended" => w.r_passkey_ended(),
        "passkey.not_active" => w.r_passkey_not_active(),
        "passkey.unavailable" => w.r_passkey_unavailable(),
        "passkey.limit" => return Some(w.r_passkey_limit(delay())),
        "passkey.last_factor" => w.r_passkey_last_factor(),
        "passkey.not_found" => w.r_passkey_not_found(),
        "passkey.exists" => w.r_passkey_exists(),
        "passkey.name" => w.r_passkey_name(),
        "passkey.too_many" => w.r_passkey_too_many(),
        "recovery_code.wrong" => w.r_recovery_code_wrong(),
        "recovery_code.limit" => return Some(w.r_recovery_code_limit(delay())),
        "idempotency.required" => w.r_idempotency_required(),
        "idempotency.invalid" => w.r_idempotency_invalid(),
        "idempotency.conflict" => w.r_idempotency_conflict(),
        "password.too_short" => match value("minimum") {
            none if none.is_empty() => w.r_password_too_short_bare(),
            minimum => return Some(w.r_password_too_short(minimum)),
        },
        "password.too_long" => w.r_password_too_long(),
        "password.common" => w.r_password_common(),
        "password.context_word" => w.r_password_context_word(),
        "password.wrong" => w.r_password_wrong(),
        "password.mismatch" => w.r_password_mismatch(),
        "link.invalid" => w.r_link_invalid(),
        "two_factor.required_by_policy" => w.r_two_factor_required_by_policy(),
        "two_factor.already_active" => w.r_two_factor_already_active(),
        "two_factor.not_active" => w.r_two_factor_not_active(),
        "two_factor.number_locked" => w.r_two_factor_number_locked(),
        "two_factor.no_number" => w.r_two_factor_no_number(),
        "two_factor.number_changed_lately" => {
            return Some(w.r_two_factor_number_changed_lately(delay()));
        }
        "two_factor.password_too_short" => {
            return Some(w.r_two_factor_password_too_short(value("minimum")));
        }
        "code.not_sent" => w.r_code_not_sent(),
        "code.undecided" => w.r_code_undecided(),
        "page_token.invalid" => w.r_page_token_invalid(),
        "field.malformed" => w.r_field_malformed(),
        "phone.country_required" => w.r_phone_country_required(),
        "phone.country_mismatch" => {
            let typed =
                country("typed").or_else(|| Some(format!("+{}", refusal.get("typed_code")?)));
            match (typed, country("picked")) {
                (Some(typed), Some(picked)) => {
                    return Some(w.r_phone_country_mismatch_named(typed, picked));
                }
                _ => w.r_phone_country_mismatch(),
            }
        }
        "phone.country_not_served" => match country("country") {
            Some(country) => return Some(w.r_phone_country_not_served_named(country)),
            None => w.r_phone_country_not_served(),
        },
        "phone.invalid" => w.r_phone_invalid(),
        "phone.not_sms_capable" => w.r_phone_not_sms_capable(),
        "phone.in_use" => w.r_phone_in_use(),
        "email.invalid" => w.r_email_invalid(),
        "email.mismatch" => w.r_email_mismatch(),
        "email.exists" => w.r_email_exists(),
        "email.domain_not_approved" => w.r_email_domain_not_approved(),
        "licence.none_available" => w.r_licence_none_available(),
        "edit.conflict" => w.r_edit_conflict(),
        "permission.denied" => w.r_permission_denied(),
        "admin.last" => w.r_admin_last(),
        "role_group.unknown" => w.r_role_group_unknown(),
        "user.not_found" => w.r_user_not_found(),
        "user.not_active" => w.r_user_not_active(),
        "watch.busy" => w.r_watch_busy(),
        "plan.not_found" => w.r_plan_not_found(),
        "field.required" => w.r_field_required(),
        "field.too_long" => w.r_field_too_long(),
        "field.invalid" => w.r_field_invalid(),
        "time_zone.unknown" => w.r_time_zone_unknown(),
        "locale.unknown" => w.r_locale_unknown(),
        "date_format.unknown" => w.r_date_format_unknown(),
        "country.unknown" => w.r_country_unknown(),
        "form.refused" => w.r_form_refused(),
        "form.too_large" => w.r_form_too_large(),
        "body.invalid" => w.r_body_invalid(),
        "page.not_found" => w.r_page_not_found(),
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::*;
    use crate::words::Language;

    #[test]
    fn unknown_reasons_say_that_something_went_wrong() {
        let words = Words::new(Language::English);
        let refusal = Refusal::new(Code::Internal, "no.such_reason");
        assert_eq!(sentence(words, &refusal), words.something_wrong());
    }

    #[test]
    fn tries_are_told_from_the_third_wrong_one_on() {
        let words = Words::new(Language::English);
        let left = |tries: u32| {
            let refusal =
                Refusal::new(Code::InvalidArgument, "code.wrong").with("tries_left", tries);
            sentence(words, &refusal)
        };
        assert!(!left(3).contains('3'));
        assert!(left(2).contains('2'));
        assert!(left(1).contains("one more"));
    }

    #[test]
    fn countries_are_named_in_the_readers_language() {
        let refusal = Refusal::field("mobile_number", "phone.country_mismatch")
            .with("typed", "GB")
            .with("typed_code", 44)
            .with("picked", "DE");
        let english = sentence(Words::new(Language::English), &refusal);
        assert!(
            english.contains("United Kingdom") && english.contains("Germany"),
            "{english}"
        );
        let french = sentence(Words::new(Language::French), &refusal);
        assert!(
            french.contains("Royaume-Uni") && french.contains("Allemagne"),
            "{french}"
        );
    }

    #[test]
    fn waits_are_part_of_the_sentence() {
        let refusal = Refusal::new(Code::ResourceExhausted, "sms.limit")
            .retry_after(Duration::from_secs(600));
        assert!(sentence(Words::new(Language::English), &refusal).contains("10 minutes"));
        assert!(sentence(Words::new(Language::French), &refusal).contains("10 minutes"));
    }
}
