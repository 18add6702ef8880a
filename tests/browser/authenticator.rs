//! An authenticator app: set up from My account, asked for at sign-in, and what remains when the phone
//! is lost.

use anyhow::Result;
use sallyport_chassis::Clock;
use sallyport_testkit::AuthenticatorApp;

use crate::Scene;
use crate::passwords::CHANGED;

/// After the link of [`crate::enrol_anew`]: password and second factor have just been given.
pub async fn sets_up_and_signs_in(scene: &Scene) -> Result<()> {
    let Scene {
        system,
        words,
        portal,
        ..
    } = scene;
    portal.open("/account").await?;
    portal
        .follow("form[action='/account/authenticator'] button")
        .await?;
    portal.says("h1", &words.say("setup_title")).await?;
    portal.picture("authenticator-setup").await?;
    let app = AuthenticatorApp::of(&portal.text("#key").await?);
    let shown = || app.shows(system.clock.now());
    let wrong = if shown() == "000000" {
        "000001"
    } else {
        "000000"
    };
    portal.fill("code", wrong).await?;
    portal.follow("main form button.primary").await?;
    portal
        .says("#code-error", &words.say("r_authenticator_wrong"))
        .await?;
    portal.picture("authenticator-setup-wrong").await?;
    portal.fill("code", &shown()).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/account").await?;
    portal
        .says(".notice", &words.say("done_authenticator"))
        .await?;
    portal.picture("account-with-authenticator").await?;

    // At sign-in the app is asked, and each of its codes works once.
    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, CHANGED).await?;
    portal.at("/authenticator").await?;
    portal.picture("authenticator").await?;
    portal.fill("code", &shown()).await?;
    portal.follow("main form button.primary").await?;
    portal
        .says("#code-error", &words.say("r_authenticator_used"))
        .await?;
    system.clock.advance(jiff::Span::new().seconds(30));
    portal.fill("code", &shown()).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/account").await?;

    // The phone is lost, and with it codes to its number; the app is elsewhere.
    portal.sign_out().await?;
    portal.sign_in(&system.admin_email, CHANGED).await?;
    portal.follow(".other-way a[href='/lost']").await?;
    portal.says("main", &words.say("lost_codes")).await?;
    portal.picture("lost").await?;
    portal.follow("form[action='/lost'] button").await?;
    portal.at("/authenticator").await?;
    portal.says(".notice", &words.say("lost_done")).await?;
    portal.picture("authenticator-after-loss").await?;
    system.clock.advance(jiff::Span::new().seconds(30));
    portal.fill("code", &shown()).await?;
    portal.follow("main form button.primary").await?;
    portal.at("/account").await?;
    portal.says("main", &words.say("factor_by_app")).await
}
