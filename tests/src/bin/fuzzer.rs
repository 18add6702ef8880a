//! libFuzzer under every fuzz target, guided by coverage. `make fuzz` builds it with the flags that
//! it needs and runs it once a target, which `FUZZ_TARGET` names; `crates/fuzz` says what a target
//! is.
#![cfg_attr(fuzzing, no_main)]

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    eprintln!("This was built without libFuzzer: run make fuzz.");
    std::process::ExitCode::FAILURE
}

#[cfg(fuzzing)]
mod guided {
    use std::sync::LazyLock;

    type Target = fn(&[u8]);

    /// By the names of their corpora.
    const TARGETS: &[(&str, Target)] = &[
        ("challenge_request", otp_dispatch::fuzz::challenge_request),
        ("code_input", identity::fuzz::code_input),
        ("email", sallyport_email::fuzz::email),
        ("events", account_admin::fuzz::events),
        ("form", gateway::fuzz::form),
        ("guard_override", otp_dispatch::fuzz::guard_override),
        ("number", sallyport_phone::fuzz::number),
        ("page_token", account_admin::fuzz::page_token),
        ("passkey_answer", identity::fuzz::passkey_answer),
        ("profile", account_admin::fuzz::profile),
        ("projection", identity::fuzz::projection),
        ("queue_body", otp_dispatch::fuzz::queue_body),
        ("recovery_code", identity::fuzz::recovery_code),
        ("request_head", gateway::fuzz::request_head),
        ("requests", sallyport_tests::fuzz::requests),
        ("smpp", sallyport_smpp::fuzz::smpp),
        ("sms_text", sallyport_smpp::fuzz::sms_text),
    ];

    static TARGET: LazyLock<Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = TARGETS.iter().map(|(known, _)| *known).collect();
            eprintln!("FUZZ_TARGET is {name:?}, none of {}", known.join(" "));
            std::process::exit(2);
        };
        *target
    });

    libfuzzer_sys::fuzz_target!(
        init: {
            LazyLock::force(&TARGET);
        },
        |data: &[u8]| {
            let target = *TARGET;
            target(data);
        }
    );
}
