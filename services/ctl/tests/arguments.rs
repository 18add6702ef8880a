//! The program as an operator starts it.

use std::process::Command;

fn ctl(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_sallyportctl"))
        .args(arguments)
        .env_clear()
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in [
        &["migrate"][..],
        &["config", "check"],
        &["certs"],
        &["org", "create"],
        &["org", "list"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let output = ctl(&arguments);
        assert!(output.status.success());
        assert!(
            text(&output.stdout).contains("Example: sallyportctl"),
            "{command:?}"
        );
    }
}

#[test]
fn a_usage_error_and_a_failure_exit_differently() {
    assert_eq!(ctl(&["org", "make"]).status.code(), Some(2));
    let failed = ctl(&["org", "list", "--socket", "/nonexistent/operator.sock"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        text(&failed.stderr).contains("is the service up?"),
        "{}",
        text(&failed.stderr)
    );
}

#[test]
fn config_check_prints_effective_values_and_masks_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sallyport.toml");
    std::fs::write(
        &file,
        "[database]\nurl = \"postgres://app:hunter2@db/sallyport\"\n",
    )
    .unwrap();
    let path = file.display().to_string();
    let output = ctl(&[
        "config",
        "check",
        "--program",
        "sallyport",
        "--config",
        &path,
    ]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        printed.contains("postgres://app:•••@db/sallyport"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"));

    std::fs::write(&file, "[databose]\nurl = \"x\"\n").unwrap();
    let output = ctl(&[
        "config",
        "check",
        "--program",
        "sallyport",
        "--config",
        &path,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("databose"),
        "{}",
        text(&output.stderr)
    );
}
