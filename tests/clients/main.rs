//! Programs in other languages walk the system over mutual TLS, with nothing of ours but the protos.

use anyhow::{Result, ensure};
use sallyport_tests::processes::Processes;

#[tokio::test(flavor = "multi_thread")]
async fn python_and_typescript_walk_sign_in_enrolment_resend_and_lock() -> Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let settings = [
        // Short enough to be waited out, and long enough that a resend at once is too early.
        ("OTP__RESEND_SECONDS", "3"),
        // The hour's quota must hold every message of a walk.
        ("OTP__LIMITS__NUMBER__PER_HOUR", "10"),
        ("OTP__LIMITS__USER__PER_HOUR", "15"),
    ];
    let processes = Processes::start(&settings).await?;
    let script = root.join("tests/clients/typescript/dist/walk.js");
    let walks: [(&str, &str, Vec<std::ffi::OsString>); 2] = [
        (
            "python",
            "+33612345601",
            vec![
                root.join(".local/python/bin/python").into(),
                root.join("tests/clients/python/walk.py").into(),
            ],
        ),
        (
            "typescript",
            "+33612345602",
            vec!["node".into(), script.into()],
        ),
    ];
    for (name, number, command) in walks {
        let user = processes
            .organisation(name, &format!("admin@{name}.example"))
            .await?;
        let sms = processes.smsc.url("/messages");
        let output = tokio::process::Command::new(&command[0])
            .args(&command[1..])
            .env("SALLYPORT_PROTO", root.join("proto"))
            .env("SALLYPORT_IDENTITY", processes.identity_address())
            .env("SALLYPORT_CA", processes.certificate("ca.pem"))
            .env("SALLYPORT_CERT", processes.certificate("gateway.pem"))
            .env("SALLYPORT_KEY", processes.certificate("gateway.key"))
            .env("SALLYPORT_LINK", &user.link_token)
            .env("SALLYPORT_EMAIL", &user.email)
            .env("SALLYPORT_NUMBER", number)
            .env("SALLYPORT_SMS", sms)
            .output()
            .await?;
        let told = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name}:\n{told}\n{trouble}");
        ensure!(
            told.trim_end().ends_with("walked 8 steps"),
            "{name}: {told}"
        );
    }
    Ok(())
}
