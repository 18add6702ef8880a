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
        &["guard", "list"],
        &["guard", "allow"],
        &["guard", "block"],
        &["guard", "observe"],
        &["guard", "remove"],
        &["guard", "simulate"],
        &["guard", "generate"],
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

#[test]
fn a_generated_file_is_simulated_and_the_default_budgets_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("traffic.csv").display().to_string();
    let generated = ctl(&["guard", "generate", "--attack", "slow", "--seed", "1"]);
    assert!(generated.status.success(), "{}", text(&generated.stderr));
    std::fs::write(&file, &generated.stdout).unwrap();

    let output = ctl(&["guard", "simulate", &file, "--cost", "0.1", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |key: &str| report[key].as_f64().unwrap();
    assert!(figure("stopped_percent") >= 95.0, "{report}");
    assert!(figure("lost_percent") <= 0.1, "{report}");
    let saved = figure("messages_saved") * 0.1;
    assert!((figure("saved") - saved).abs() < 1e-6, "{report}");
    assert!(figure("messages_saved") >= figure("pumped_stopped"));

    // By a day's budget that is never spent, nothing is stopped.
    let lax = ctl(&[
        "guard",
        "simulate",
        &file,
        "--day-least",
        "100000",
        "--hour-least",
        "100000",
    ]);
    let printed = text(&lax.stdout);
    assert!(printed.contains("0 were stopped (0.00 %)"), "{printed}");
    assert!(printed.contains("COUNTRY"), "{printed}");
}

#[test]
fn a_traffic_file_that_cannot_be_read_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("traffic.csv").display().to_string();
    std::fs::write(&file, "time,number\nyesterday,+33612345678\n").unwrap();
    let output = ctl(&["guard", "simulate", &file]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("line 2"), "{told}");
    assert!(!told.contains("612345678"), "{told}");
}
