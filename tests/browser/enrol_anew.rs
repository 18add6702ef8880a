//! A factor that a hundred wrong codes have disabled, enrolled anew by a mailed link.

use anyhow::{Context, Result, bail};
use sallyport_tests::System;

use crate::passwords::{CHANGED, mailed_link};
use crate::{Phone, Scene};

/// The code page says what happened and has a link mailed; the link, the password and a code to the
/// number sign in.
pub async fn by_mailed_link(scene: &Scene) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        phone,
    } = scene;
    portal.sign_out().await?;
    guess_until_disabled(system, phone).await?;
    portal.sign_in(&system.admin_email, CHANGED).await?;
    portal.at("/code").await?;
    portal
        .says("[role=alert]", &words.say("r_second_factor_disabled"))
        .await?;
    portal.picture("code-disabled").await?;
    portal
        .follow("form[action='/code/link'] button.primary")
        .await?;
    portal
        .says(".notice", &words.say("enrol_link_sent"))
        .await?;

    let subject = run.text("Set up your codes again", "Configurez de nouveau vos codes");
    let link = mailed_link(system, &system.admin_email, subject).await?;
    portal.open(&link).await?;
    portal.says("h1", &words.say("enrol_title")).await?;
    portal.picture("link-enrol").await?;
    portal.fill("password", "not the password at all").await?;
    portal.follow("main form button.primary").await?;
    portal
        .says("[role=alert]", &words.say("r_sign_in_failed"))
        .await?;
    portal.fill("password", CHANGED).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/enrol").await?;
    portal.open("/account").await?;
    portal.at("/enrol").await?;
    portal.fill("mobile_number", "06 12 34 56 78").await?;
    portal.follow("main form button.primary").await?;
    portal
        .says("#country-error", &words.say("r_phone_country_required"))
        .await?;
    portal.picture("enrol").await?;
    portal.pick("country", "FR").await?;
    portal.follow("main form button.primary").await?;
    portal.at("/code").await?;
    portal.give_code(&phone.code(system).await?).await?;
    portal.says("h1", &words.say("recovery_codes")).await?;
    portal.open("/account").await?;
    portal.at("/account").await?;

    portal.open(&link).await?;
    portal.says("main", &words.say("r_link_invalid")).await
}

/// Gives wrong codes over the JSON API, waiting out locks and quotas by the clock.
async fn guess_until_disabled(system: &System, phone: &Phone) -> Result<()> {
    let client = reqwest::Client::new();
    let post = async |path: &str, token: &str, key: &str, body: serde_json::Value| {
        let answer = client
            .post(format!("{}/api/v1{path}", system.portal))
            .bearer_auth(token)
            .header("idempotency-key", key)
            .json(&body)
            .send()
            .await?;
        anyhow::Ok(answer.json::<serde_json::Value>().await?)
    };
    // Twenty codes, and the locks and quotas in between.
    for round in 0..60 {
        let first = serde_json::json!({ "email": system.admin_email, "password": CHANGED });
        let signed_in = post("/sign-in", "", "", first).await?;
        let token = signed_in["session_token"].as_str().context("no token")?;
        let key = format!("guess-round-{round}");
        let sent = post("/code/sign-in", token, &key, serde_json::json!({})).await?;
        match sent["error"]["reason"].as_str() {
            None => {}
            Some("second_factor.disabled") => return Ok(()),
            Some("second_factor.locked" | "sms.quota") => {
                let wait = sent["error"]["retry_after"].as_i64().context("no wait")?;
                system.clock.advance(jiff::Span::new().seconds(wait));
                continue;
            }
            Some(other) => bail!("the code was not sent: {other}"),
        }
        let right = phone.code(system).await?;
        let wrong = if right == "000000" {
            "000001"
        } else {
            "000000"
        };
        for _ in 0..5 {
            let guess = serde_json::json!({ "code": wrong });
            let answer = post("/code/verify", token, "", guess).await?;
            if answer["error"]["reason"] != "code.wrong" {
                break;
            }
        }
    }
    bail!("the factor was never disabled")
}
