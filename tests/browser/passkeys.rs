//! A passkey: made by a device that Chromium plays, asked for at sign-in, and what is said where there
//! is no script.

use anyhow::Result;
use serde_json::json;

use crate::Scene;
use crate::passwords::CHANGED;

const NAME: &str = "Test device";

/// After [`crate::authenticator`]: password and second factor have just been given.
pub async fn adds_and_signs_in(scene: &Scene) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        ..
    } = scene;
    portal.open("/account").await?;
    portal.follow("a[href='/account/passkeys']").await?;
    portal.says("main", &words.say("passkeys_none")).await?;
    portal.picture("passkeys-none").await?;
    if !run.javascript {
        portal
            .says("main", &words.say("passkey_needs_script"))
            .await?;
        portal
            .follow("form[action='/account/passkeys'] button")
            .await?;
        portal
            .says("main", &words.say("passkey_needs_script"))
            .await?;
        return portal.picture("passkey-setup-without-script").await;
    }
    // A device with a screen lock, whose owner agrees at once.
    let device = json!({"options": {
        "protocol": "ctap2",
        "transport": "internal",
        "hasUserVerification": true,
        "isUserVerified": true,
        "automaticPresenceSimulation": true,
    }});
    let devices = portal.driver().cdp();
    devices.send_raw("WebAuthn.enable", json!({})).await?;
    devices
        .send_raw("WebAuthn.addVirtualAuthenticator", device)
        .await?;
    portal
        .follow("form[action='/account/passkeys'] button")
        .await?;
    portal.says("h1", &words.say("passkey_setup_title")).await?;
    portal.picture("passkey-setup").await?;
    portal.fill("name", NAME).await?;
    portal.follow("#make-passkey").await?;
    portal.at("/account/passkeys").await?;
    portal.says(".notice", &words.say("done_passkey")).await?;
    portal.says("main", NAME).await?;
    portal.picture("passkeys").await?;

    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, CHANGED).await?;
    portal.at("/passkey").await?;
    portal.picture("passkey").await?;
    portal.follow("#use-passkey").await?;
    portal.at("/account").await
}
