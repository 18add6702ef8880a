//! A forgotten password and a changed one.

use anyhow::{Context, Result, ensure};
use sallyport_tests::System;

use crate::{PASSWORD, Scene};

const RESET: &str = "velvet harbour spoons 77 drift";
/// The administrator's password in the end.
pub const CHANGED: &str = "quiet lantern orbit 19 maple";

/// The link that was mailed sets another password, once; the second factor is asked as ever.
pub async fn reset(scene: &Scene) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        phone,
    } = scene;
    portal.sign_out().await?;
    portal.follow("a[href='/forgot']").await?;
    portal.at("/forgot").await?;
    portal.says("h1", &words.say("forgot_title")).await?;
    portal.picture("forgot").await?;
    portal.fill("email", &system.admin_email).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/forgot").await?;
    portal.says(".lead", &words.say("forgot_sent")).await?;
    portal.picture("forgot-sent").await?;

    let subject = run.text("Set a new password", "Définissez un nouveau mot de passe");
    let link = mailed_link(system, &system.admin_email, subject).await?;
    portal.open(&link).await?;
    portal.says("h1", &words.say("link_reset")).await?;
    portal.says(".lead", &words.say("link_reset_intro")).await?;
    portal.picture("link-reset").await?;
    portal.set_password(RESET).await?;
    portal.at("/sign-in").await?;
    portal
        .says(".notice", &words.say("password_set_sign_in"))
        .await?;
    portal.open(&link).await?;
    portal.says("main", &words.say("r_link_invalid")).await?;

    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal
        .says("[role=alert]", &words.say("r_sign_in_failed"))
        .await?;
    portal.sign_in(&system.admin_email, RESET).await?;
    portal.at("/code").await?;
    portal.says(".lead", &words.say("code_sent_to")).await?;
    portal.open("/account").await?;
    portal.at("/code").await?;
    portal.give_code(&phone.code(system).await?).await?;
    portal.at("/account").await
}

/// Changing the password asks the present one.
pub async fn change(scene: &Scene) -> Result<()> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    portal.open("/account").await?;
    portal.follow("a[href='/account/password']").await?;
    portal.at("/account/password").await?;
    portal.says("h1", &words.say("change_password")).await?;
    portal.picture("password").await?;
    let fill = async |current: &str, new: &str, again: &str| {
        portal.fill("current_password", current).await?;
        portal.fill("new_password", new).await?;
        portal.fill("password_again", again).await?;
        portal.follow("main form button.primary").await
    };
    fill(PASSWORD, CHANGED, CHANGED).await?;
    portal
        .says("#current_password-error", &words.say("r_password_wrong"))
        .await?;
    fill(RESET, CHANGED, RESET).await?;
    portal
        .says("#password_again-error", &words.say("r_password_mismatch"))
        .await?;
    portal.picture("password-refused").await?;
    fill(RESET, CHANGED, CHANGED).await?;
    portal.at("/account").await?;
    portal.says(".notice", &words.say("done_password")).await?;

    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, RESET).await?;
    portal
        .says("[role=alert]", &words.say("r_sign_in_failed"))
        .await?;
    portal.sign_in(&system.admin_email, CHANGED).await?;
    portal.at("/code").await?;
    portal.give_code(&phone.code(system).await?).await?;
    portal.at("/account").await
}

/// Waits for the mail with this subject to the administrator, and gives the link in it.
pub async fn mailed_link(system: &System, to: &str, subject: &str) -> Result<String> {
    let mut after = 0;
    loop {
        let answer: serde_json::Value = reqwest::Client::new()
            .get(format!("{}/dev/inbox", system.portal))
            .query(&[("to", to), ("wait", "20"), ("after", &after.to_string())])
            .header("accept", "application/json")
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let mails = answer["mails"].as_array().context("no list of mails")?;
        ensure!(!mails.is_empty(), "no mail {subject:?}");
        after += mails.len();
        if let Some(mail) = mails.iter().find(|mail| mail["subject"] == subject) {
            let text = mail["text"].as_str().context("no text")?;
            let link = text.split_whitespace().find(|word| word.contains("/link/"));
            return Ok(link.context("no link in the mail")?.to_owned());
        }
    }
}
