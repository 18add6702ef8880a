//! Bad input where the page does more than tell it: at each of several fields, with the wait, with
//! the names of countries, with another way in.

use std::time::Duration;

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::Purpose;
use tonic::Code;

use crate::account::filled;
use crate::browser::{Browser, Gateway};
use crate::refusable::{AWAITING, NOBODY, SIGNED_IN};
use crate::words::{LANGUAGES, say, term};

fn waiting(reason: &str, seconds: u64) -> Refusal {
    Refusal::new(Code::ResourceExhausted, reason).retry_after(Duration::from_secs(seconds))
}

#[tokio::test]
async fn a_bad_number_is_told_at_its_field_and_nothing_is_stored_or_sent() {
    for language in LANGUAGES {
        let gateway = Gateway::start(false).await;
        let before = gateway.fakes.world().profile.fields.clone();
        for (country, number, field, key) in [
            ("", "06 12 34 56 78", "country", "r_phone_country_required"),
            (
                "BE",
                "+33 6 12 34 56 78",
                "mobile_number",
                "r_phone_country_mismatch",
            ),
            (
                "BE",
                "0033 6 12 34 56 78",
                "mobile_number",
                "r_phone_country_mismatch",
            ),
            ("FR", "06 12", "mobile_number", "r_phone_invalid"),
            ("FR", "06 CALL ADA", "mobile_number", "r_phone_invalid"),
            (
                "FR",
                "06 12 34 56 78 ext. 5",
                "mobile_number",
                "r_phone_invalid",
            ),
            (
                "FR",
                "01 42 68 53 00",
                "mobile_number",
                "r_phone_not_sms_capable",
            ),
            ("FR", "", "mobile_number", "mobile_required"),
        ] {
            let mut browser = gateway.speaking(language, SIGNED_IN);
            browser.open("/account").await;
            let typed = filled(&[
                ("two_factor", "1"),
                ("country", country),
                ("mobile_number", number),
                ("first_name", "Augusta"),
                ("locale", language),
            ]);
            let page = browser.submit("/account", &typed).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{number}");
            assert_eq!(page.error_at(field), say(language, key, &[]), "{number}");
            assert_eq!(page.picked("country").unwrap(), country);
            assert_eq!(page.value("mobile_number").unwrap_or_default(), number);
            assert_eq!(page.value("first_name").unwrap(), "Augusta");
            assert!(
                page.picked("two_factor").is_some(),
                "the box as it was left"
            );
        }
        assert!(gateway.fakes.details("UpdateProfile").is_empty());
        assert!(gateway.fakes.details("EnableTwoFactor").is_empty());
        let mut expected = before;
        if let Some(fields) = &mut expected {
            language.clone_into(&mut fields.locale);
        }
        assert_eq!(gateway.fakes.world().profile.fields, expected);
        assert!(!gateway.fakes.world().two_factor);
    }
}

#[tokio::test]
async fn countries_of_a_refused_number_are_named_in_the_readers_language() {
    for (language, belgium, britain) in [
        ("en", "Belgium", "United Kingdom"),
        ("fr", "Belgique", "Royaume-Uni"),
    ] {
        let gateway = Gateway::start(false).await;
        let mismatch = || {
            Refusal::field("mobile_number", "phone.country_mismatch")
                .with("typed_code", 33)
                .with("picked", "BE")
        };
        let unserved = Refusal::field("mobile_number", "phone.country_not_served");
        for (refusal, key, values) in [
            (
                mismatch().with("typed", "FR"),
                "r_phone_country_mismatch_named",
                vec![("typed", "France"), ("picked", belgium)],
            ),
            // A world-wide service has no country but its code.
            (
                mismatch(),
                "r_phone_country_mismatch_named",
                vec![("typed", "+33"), ("picked", belgium)],
            ),
            (
                unserved.clone().with("country", "GB"),
                "r_phone_country_not_served_named",
                vec![("country", britain)],
            ),
            (unserved, "r_phone_country_not_served", vec![]),
        ] {
            let mut browser = gateway.speaking(language, SIGNED_IN);
            browser.open("/account").await;
            gateway.fakes.refuse("ValidateNumber", refusal);
            let page = browser.submit("/account", &filled(&[])).await;
            let expected = say(language, key, &values);
            assert_eq!(page.error_at("mobile_number"), expected);
        }
    }
}

#[tokio::test]
async fn each_of_several_bad_fields_has_its_own_sentence() {
    for language in LANGUAGES {
        let gateway = Gateway::start(false).await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        browser.open("/account").await;
        let refusal = Refusal::field("first_name", "field.required")
            .and_field("last_name", "field.too_long")
            .and_field("default_sms_country", "country.unknown")
            .and_field("time_zone", "time_zone.unknown")
            .and_field("date_format", "date_format.unknown")
            .and_field("locale", "locale.unknown");
        gateway.fakes.refuse("ValidateProfile", refusal);
        let typed = filled(&[("mobile_number", "12"), ("last_name", "King")]);
        let page = browser.submit("/account", &typed).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        for (field, key) in [
            ("mobile_number", "r_phone_invalid"),
            ("first_name", "r_field_required"),
            ("last_name", "r_field_too_long"),
            ("default_sms_country", "r_country_unknown"),
            ("time_zone", "r_time_zone_unknown"),
            ("date_format", "r_date_format_unknown"),
            ("locale", "r_locale_unknown"),
        ] {
            assert_eq!(page.error_at(field), say(language, key, &[]), "{field}");
        }
        assert_eq!(page.error_at("country"), "");
        assert_eq!(page.value("last_name").unwrap(), "King");
        let title = term(language, "error_prefix");
        assert!(page.text.contains(&format!("<title>{title}")));
        assert!(gateway.fakes.details("UpdateProfile").is_empty());
    }
}

#[tokio::test]
async fn what_is_left_empty_is_asked_for_and_no_service_is_troubled() {
    for language in LANGUAGES {
        let gateway = Gateway::start(false).await;
        for (stage, path, rpc, fields) in [
            (NOBODY, "/sign-in", "SignIn", vec!["email", "password"]),
            (NOBODY, "/forgot", "RequestPasswordReset", vec!["email"]),
            (
                NOBODY,
                "/link/spl_goodlink",
                "SetPasswordByLink",
                vec!["password"],
            ),
            (SIGNED_IN, "/users/add", "AddUser", vec!["email"]),
            (
                SIGNED_IN,
                "/account/password",
                "ChangePassword",
                vec!["current_password", "new_password"],
            ),
        ] {
            let mut browser = gateway.speaking(language, stage);
            browser.open(path).await;
            let page = browser.submit(path, &[("email", "  ")]).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            for field in fields {
                let expected = say(language, "r_field_required", &[]);
                assert_eq!(page.error_at(field), expected, "{path}: {field}");
            }
            assert!(gateway.fakes.details(rpc).is_empty(), "{path}");
        }
        for path in ["/account/password", "/link/spl_goodlink"] {
            let mut browser = gateway.speaking(language, SIGNED_IN);
            browser.open(path).await;
            let typed = [
                ("current_password", "herons-wade-in"),
                ("new_password", "geese-fly-off"),
                ("password", "geese-fly-off"),
                ("password_again", "geese-fly-by"),
            ];
            let page = browser.submit(path, &typed).await;
            let expected = say(language, "r_password_mismatch", &[]);
            assert_eq!(page.error_at("password_again"), expected, "{path}");
            assert!(!page.text.contains("geese") && !page.text.contains("herons"));
        }
        assert!(gateway.fakes.details("ChangePassword").is_empty());
        assert!(gateway.fakes.details("SetPasswordByLink").is_empty());
    }
}

/// The code page with a code under way.
async fn code_page(gateway: &Gateway, language: &str) -> Browser {
    let mut browser = gateway.speaking(language, AWAITING);
    gateway.fakes.world().send(Purpose::SignIn);
    browser.open("/code").await;
    browser
}

#[tokio::test]
async fn wrong_codes_are_told_with_the_tries_left_until_the_code_has_ended() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = code_page(&gateway, language).await;
        for expected in [
            say(language, "r_code_wrong", &[]),
            say(language, "r_code_wrong", &[]),
            say(language, "r_code_wrong_left", &[("n", "2")]),
            say(language, "r_code_wrong_last", &[]),
        ] {
            let page = browser.submit("/code", &[("code", "731-904")]).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(page.error_at("code"), expected);
            assert!(!page.text.contains("731-904"));
        }
        let page = browser.submit("/code", &[("code", "731-904")]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(page.alert(), say(language, "r_code_ended", &[]));
        assert!(!page.text.contains(" id=\"code\""), "nothing to type into");
        assert!(page.words().contains(&say(language, "send_code", &[])));
    }
}

#[tokio::test]
async fn a_closed_second_step_leads_to_the_recovery_codes() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let quarter = say(language, "wait_minutes", &[("n", "15")]);
        let locked = say(
            language,
            "r_second_factor_locked",
            &[("wait", quarter.as_str())],
        );
        let mut browser = code_page(&gateway, language).await;
        let refusal = waiting("second_factor.locked", 900);
        gateway.fakes.refuse("VerifyCode", refusal.clone());
        gateway.fakes.refuse("SendSignInCode", refusal);
        let page = browser.submit("/code", &[("code", "731-904")]).await;
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(page.headers["retry-after"], "900");
        assert_eq!(page.alert(), locked);
        assert!(page.text.contains("href=\"/recovery\""));
        browser.submit("/code/send", &[]).await;
        let page = browser.follow().await;
        assert_eq!(page.alert(), locked);
        assert!(page.text.contains("href=\"/recovery\""));

        let disabled = Refusal::new(Code::FailedPrecondition, "second_factor.disabled");
        gateway.fakes.world().challenge = None;
        gateway.fakes.refuse("SendSignInCode", disabled);
        browser.submit("/code/send", &[]).await;
        let page = browser.follow().await;
        assert_eq!(page.alert(), say(language, "r_second_factor_disabled", &[]));
        assert!(page.text.contains("href=\"/recovery\""));
    }
}

#[tokio::test]
async fn when_the_message_can_be_sent_again_is_counted_down() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = code_page(&gateway, language).await;
        // The fake opens it after 45 seconds, of which the test has used some.
        let waits = |words: &str, key: &str| {
            (30..=45).any(|n: u32| {
                let n = n.to_string();
                let wait = say(language, "wait_seconds", &[("n", n.as_str())]);
                words.contains(&say(language, key, &[("wait", wait.as_str())]))
            })
        };
        let button = term(language, "resend_waiting").replace("{time}", "{}");
        let attribute = format!("data-waiting=\"{button}\"");
        assert!(browser.page.text.contains(&attribute), "for the script");
        let (_, seconds) = browser.page.text.split_once("data-resend-in=\"").unwrap();
        let seconds: u64 = seconds.split('"').next().unwrap().parse().unwrap();
        assert!((30..=45).contains(&seconds), "{seconds}");
        let early = waiting("code.resend_too_early", 42);
        gateway.fakes.refuse("ResendCode", early);
        browser.submit("/code/resend", &[]).await;
        let page = browser.follow().await;
        assert!(waits(&page.alert(), "r_code_resend_too_early"));
        let frame = browser.open("/code/state").await.words();
        assert!(waits(&frame, "resend_in"), "without script: {frame}");
    }
}

#[tokio::test]
async fn where_no_waiting_helps_none_is_told_and_the_reset_is_a_click_away() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = gateway.speaking(language, NOBODY);
        browser.open("/sign-in").await;
        let closed = Refusal::new(Code::ResourceExhausted, "sign_in.delayed")
            .with("way_in", "password_reset");
        gateway.fakes.refuse("SignIn", closed);
        let typed = [("email", "ada@example.org"), ("password", "herons-wade-in")];
        let page = browser.submit("/sign-in", &typed).await;
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(!page.headers.contains_key("retry-after"));
        assert_eq!(page.alert(), say(language, "r_sign_in_closed", &[]));
        assert!(page.text.contains("href=\"/forgot\""));
        assert_eq!(page.value("email").unwrap(), "ada@example.org");
    }
}

#[tokio::test]
async fn the_password_typed_again_is_refused_at_its_field_and_the_action_waits() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        browser.open("/account").await;
        browser.submit("/account/recovery-codes", &[]).await;
        browser.follow().await;
        let typed = [("password", "herons-wade-in")];
        let page = browser.submit("/confirm", &typed).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        let wrong = say(language, "r_password_wrong", &[]);
        assert_eq!(page.error_at("password"), wrong);
        assert!(!page.text.contains("herons"));
        for (reason, key) in [
            ("sign_in.delayed", "r_sign_in_delayed"),
            ("sign_in.busy", "r_sign_in_busy"),
        ] {
            let refusal = waiting(reason, 30);
            gateway.fakes.refuse("ConfirmPassword", refusal);
            let page = browser.submit("/confirm", &typed).await;
            assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(page.headers["retry-after"], "30");
            let wait = say(language, "wait_seconds", &[("n", "30")]);
            assert_eq!(page.alert(), say(language, key, &[("wait", wait.as_str())]));
        }
        // The first click alone, which led to the password.
        assert_eq!(gateway.fakes.details("RemakeRecoveryCodes").len(), 1);
    }
}

#[tokio::test]
async fn the_box_stays_ticked_where_2fa_may_not_be_switched_off() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let short = "two_factor.password_too_short";
        for (reason, key, values) in [
            (
                "two_factor.required_by_policy",
                "r_two_factor_required_by_policy",
                vec![],
            ),
            (
                short,
                "r_two_factor_password_too_short",
                vec![("minimum", "15")],
            ),
        ] {
            let mut browser = gateway.speaking(language, SIGNED_IN);
            browser.open("/account").await;
            let refusal = Refusal::new(Code::FailedPrecondition, reason).with("minimum", 15);
            gateway.fakes.refuse("DisableTwoFactor", refusal);
            let typed = filled(&[("locale", language)]);
            browser.submit("/account", &typed).await;
            let page = browser.follow().await;
            assert_eq!(page.alert(), say(language, key, &values));
            assert!(page.picked("two_factor").is_some());
        }
        assert!(gateway.fakes.world().two_factor);
    }
}

#[tokio::test]
async fn a_link_that_has_ended_offers_another_one() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let ended = say(language, "r_link_invalid", &[]);
        let mut browser = gateway.speaking(language, NOBODY);
        let page = browser.open("/link/spl_used").await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert!(page.words().contains(&ended) && page.text.contains("href=\"/forgot\""));

        // It ended while its page was open.
        let path = "/link/spl_goodlink";
        browser.open(path).await;
        let refusal = Refusal::new(Code::NotFound, "link.invalid");
        gateway.fakes.refuse("SetPasswordByLink", refusal);
        let typed = [
            ("password", "geese-fly-off"),
            ("password_again", "geese-fly-off"),
        ];
        let page = browser.submit(path, &typed).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert!(page.words().contains(&ended) && page.text.contains("href=\"/forgot\""));
        assert!(!page.text.contains("geese"));
    }
}
