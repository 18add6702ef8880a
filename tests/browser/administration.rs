//! User management: adding a user, his licence, his first sign-in, and his log.

use anyhow::Result;

use crate::passwords::mailed_link;
use crate::portal::Portal;
use crate::{PASSWORD, Scene};

const EMAIL: &str = "bob@example.com";
const NAME: &str = "Bob Martin";
const HIS_PASSWORD: &str = "another long enough passphrase";

/// A user under the approved domain, and under no other. Gives the link of his invitation.
pub async fn add_user(scene: &Scene) -> Result<String> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    portal.sign_in(&system.admin_email, PASSWORD).await?;
    portal.at("/code").await?;
    portal.give_code(&phone.code(system).await?).await?;
    portal.at("/account").await?;

    portal.open("/users").await?;
    portal.says("h1", &words.say("users")).await?;
    portal.follow("a[href='/users/add']").await?;
    portal.picture("user-add").await?;
    portal.fill("email", "bob@elsewhere.test").await?;
    portal.fill("first_name", "Bob").await?;
    portal.fill("last_name", "Martin").await?;
    portal.follow("main form button.primary").await?;
    portal
        .says("#email-error", &words.say("r_email_domain_not_approved"))
        .await?;
    portal.picture("user-add-refused").await?;
    portal.fill("email", "Bob@Example.com").await?;
    portal.follow("main form button.primary").await?;
    portal.says("h1", &words.say("user_added")).await?;
    let link = portal.text("#link").await?;
    assert!(
        link.starts_with(&format!("{}/link/spl_", system.portal)),
        "{link}"
    );
    portal.picture("user-added").await?;
    Ok(link)
}

/// Manage licence on his row: a seat goes to him, and is counted.
pub async fn licence(scene: &Scene) -> Result<()> {
    let Scene { words, portal, .. } = scene;
    portal.open("/licences").await?;
    let before = portal.texts("tbody td.number").await?;
    assert_eq!(before, ["25", "1", "24"], "purchased, assigned, available");
    portal.open("/users").await?;
    let row = portal.row(EMAIL).await?;
    assert!(row.contains(NAME), "{row}");
    assert!(row.contains(&words.say("state_invited")), "{row}");
    portal.picture("users").await?;
    portal.follow_in_row(EMAIL, "/licence").await?;
    portal.says("h1", &words.say("manage_licence")).await?;
    portal.says(".lead", NAME).await?;
    let left = words.with("seats_left", &[("n", "24")]);
    portal.says("label.option", &left).await?;
    portal.picture("user-licence").await?;
    portal
        .click("input[name='plan_id']:not([value=''])")
        .await?;
    portal.follow("main form button.primary").await?;
    portal.at("/users").await?;
    portal.says(".notice", &words.say("done_licence")).await?;
    let row = portal.row(EMAIL).await?;
    assert!(row.contains("Standard"), "{row}");
    portal.open("/licences").await?;
    let after = portal.texts("tbody td.number").await?;
    assert_eq!(after, ["25", "2", "23"], "purchased, assigned, available");
    portal.picture("licences").await
}

/// The invited user, in a browser of his own: his password, his account, and no administration.
pub async fn invited_user(scene: &Scene, link: &str) -> Result<Portal> {
    let Scene {
        run, system, words, ..
    } = scene;
    let portal = Portal::start(run, &system.portal, "bob").await?;
    portal.open(link).await?;
    portal.says("h1", &words.say("link_welcome")).await?;
    assert_eq!(portal.value("username").await?, EMAIL);
    portal.set_password(HIS_PASSWORD).await?;
    portal.at("/sign-in").await?;
    portal.sign_in(EMAIL, HIS_PASSWORD).await?;
    portal.at("/account").await?;
    portal.says("dl.facts", "Standard").await?;
    for closed in ["/users", "/domains", "/licences"] {
        portal.open(closed).await?;
        portal
            .says("main", &words.say("r_permission_denied"))
            .await?;
    }
    portal.picture("denied").await?;
    Ok(portal)
}

/// An administrator has him choose another password; the link is in his mail alone.
pub async fn password_link(scene: &Scene, invited: &Portal) -> Result<()> {
    let Scene {
        run,
        system,
        words,
        portal,
        ..
    } = scene;
    // Once his first sign-in has reached the list.
    let row = "tr:has([aria-label*='Bob'])";
    let button = words.say("reset_password");
    portal.open_until("/users", row, &button).await?;
    portal.follow(&format!("{row} form button")).await?;
    portal.at("/users").await?;
    portal.says(".notice", &words.say("done_reset")).await?;
    let subject = run.text("Set a new password", "Définissez un nouveau mot de passe");
    let link = mailed_link(system, EMAIL, subject).await?;
    invited.open(&link).await?;
    invited.says("h1", &words.say("link_reset")).await?;
    invited.set_password(HIS_PASSWORD).await?;
    invited.at("/sign-in").await?;
    invited.sign_in(EMAIL, HIS_PASSWORD).await?;
    invited.at("/account").await
}

/// Logs on his row, all in words; and that they were read is in the logs of both.
pub async fn logs(scene: &Scene, invited: &Portal) -> Result<()> {
    let Scene { words, portal, .. } = scene;
    // What he did last has arrived in the log, and with it all that came before.
    let enabled = words.say("e_two_factor_enabled");
    invited.open_until("/activity", "main", &enabled).await?;
    invited.picture("activity").await?;

    portal.open("/users").await?;
    let row = portal.row(EMAIL).await?;
    assert!(row.contains(&words.say("state_active")), "{row}");
    portal.follow_in_row(EMAIL, "/logs").await?;
    portal.says("h1", &words.say("logs")).await?;
    let intro = words.with("logs_of", &[("name", NAME)]);
    portal.says(".lead", &intro).await?;
    for event in [
        "e_user_created",
        "e_licence_assigned",
        "e_password_change",
        "e_login_success",
        "e_authz_fail",
        "e_second_factor_success",
        "e_two_factor_enabled",
    ] {
        portal.says("tbody", &words.say(event)).await?;
    }
    events_are_in_words(portal).await?;
    portal.picture("user-logs").await?;
    let logs = portal.path().await?;
    portal.open(&logs).await?;
    let row = portal.row(&words.say("e_log_read")).await?;
    assert!(row.contains("Ada"), "who read it: {row}");

    portal.open("/activity").await?;
    for event in [
        "e_log_read",
        "e_licence_assigned",
        "e_user_created",
        "e_recovery_code_used",
        "e_two_factor_enabled",
        "e_two_factor_disabled",
    ] {
        portal.says("tbody", &words.say(event)).await?;
    }
    events_are_in_words(portal).await?;
    portal.picture("activity").await
}

/// Neither a type of event nor a reason stands there as programs write it.
async fn events_are_in_words(portal: &Portal) -> Result<()> {
    let raw = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    for text in portal.texts("tbody th span").await? {
        let written_by_a_program = text.contains(['_', '.']) && text.chars().all(raw);
        assert!(!written_by_a_program, "{text} is no sentence");
    }
    Ok(())
}

/// Searching, domains, an address that does not exist, and the development inbox.
pub async fn other_pages(scene: &Scene) -> Result<()> {
    let Scene { words, portal, .. } = scene;
    portal.open("/users").await?;
    portal.fill("search", "bob").await?;
    portal.follow(".search button").await?;
    assert_eq!(portal.texts("tbody tr").await?.len(), 1, "one is found");
    portal.row(EMAIL).await?;
    portal.fill("search", "nobody").await?;
    portal.follow(".search button").await?;
    let nobody = words.with("users_none_found", &[("search", "nobody")]);
    portal.says(".empty", &nobody).await?;
    portal.picture("users-none-found").await?;

    portal.open("/domains").await?;
    let row = portal.row("example.com").await?;
    assert!(row.contains(&words.say("domain_verified")), "{row}");
    portal.picture("domains").await?;

    portal.open("/no/such/page").await?;
    portal.says("h1", &words.say("error_not_found")).await?;
    portal.says("main", &words.say("r_page_not_found")).await?;
    portal.picture("not-found").await?;

    portal.open("/dev/inbox").await?;
    portal.says("h1", &words.say("inbox")).await?;
    portal.says("main", EMAIL).await?;
    portal.picture("inbox").await
}
