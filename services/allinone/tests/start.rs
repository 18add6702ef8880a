//! The program as a newcomer starts it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn an_empty_folder_gets_a_portal_an_inbox_and_a_one_time_link() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sallyport"))
        .current_dir(folder.path())
        .env_clear()
        .env("SALLYPORT__LISTEN__ADDRESS", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let greeting: Vec<String> = lines
        .map(Result::unwrap)
        .take_while(|line| !line.starts_with("Stop with"))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let greeting = greeting.join("\n");
    assert!(
        greeting.contains("http://localhost:8080/sign-in"),
        "{greeting}"
    );
    assert!(
        greeting.contains("http://localhost:8080/dev/inbox"),
        "{greeting}"
    );
    assert!(
        greeting.contains("http://localhost:8080/link/spl_"),
        "{greeting}"
    );
}

#[test]
fn production_refuses_what_only_development_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sallyport"))
        .current_dir(folder.path())
        .env_clear()
        .env("SALLYPORT__LISTEN__ADDRESS", "127.0.0.1:0")
        .env("SALLYPORT__PROFILE", "production")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("with profile = \"production\""), "{told}");
}
