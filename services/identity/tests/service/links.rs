//! One-time links.

use identity::config::{MailRouteKind, SmtpEncryption};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::LinkPurpose;
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::on_both_databases;
use crate::world::{
    ADDRESS, OTHER_PASSWORD, PASSWORD, World, inner, link_of, newest_link, reason, refusal,
};

on_both_databases!(
    an_invitation_sets_the_first_password_once,
    an_invitation_ends_after_a_week_and_a_reset_after_an_hour,
    a_repeated_invitation_makes_no_second_mail,
    a_later_invitation_ends_the_earlier,
    a_reset_answers_alike_for_everybody_and_mails_only_users,
    a_reset_signs_nobody_in_and_ends_sessions,
    a_link_is_used_once_however_many_use_it,
    a_weak_password_leaves_the_link_open,
    resets_are_limited_by_the_hour,
    an_administrator_starts_a_reset_and_sees_no_link,
    resets_are_limited_by_the_address_that_asks,
    a_mail_that_is_tried_again_was_asked_for_once,
    mails_speak_the_users_language,
    no_token_lies_in_the_store,
);

async fn inspect(world: &World, link: &str) -> Result<proto::InspectLinkResponse, Status> {
    let link_token = link.to_owned();
    inner(
        world
            .passwords()
            .inspect_link(proto::InspectLinkRequest { link_token })
            .await,
    )
}

async fn an_invitation_sets_the_first_password_once(world: World) {
    let user = world.invited("ada", |_| {}).await;
    let invited = world.invite(&user, "key").await.unwrap();
    let seen = inspect(&world, &invited.link_token).await.unwrap();
    assert_eq!(seen.purpose(), LinkPurpose::Invitation);
    assert_eq!(
        (seen.email.as_str(), seen.locale.as_str()),
        ("ada@example.com", "en")
    );
    assert_eq!(seen.expires_at, invited.expires_at);
    // The mail carries a token of its own to the same link.
    let mailed = link_of(&world.mails(&user.email, 1).await[0]);
    assert_ne!(mailed, invited.link_token);
    assert_eq!(
        inspect(&world, &mailed).await.unwrap().purpose(),
        LinkPurpose::Invitation
    );
    let email = world.set_by_link(&mailed, PASSWORD).await.unwrap();
    assert_eq!(email, user.email);
    for used in [mailed, invited.link_token] {
        let status = inspect(&world, &used).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(refusal(&status).reason, "link.invalid");
        assert_eq!(
            reason(world.set_by_link(&used, OTHER_PASSWORD).await),
            "link.invalid"
        );
    }
    world.sign_in(&user).await;
    assert_eq!(
        reason(world.invite(&user, "other").await),
        "user.has_password"
    );
    world.end().await;
}

async fn an_invitation_ends_after_a_week_and_a_reset_after_an_hour(world: World) {
    let invited = world.invited("ada", |_| {}).await;
    let link = world.invite(&invited, "key").await.unwrap().link_token;
    world.advance(7 * 86_400 - 1);
    inspect(&world, &link).await.unwrap();
    world.advance(1);
    assert_eq!(reason(inspect(&world, &link).await), "link.invalid");
    assert_eq!(
        reason(world.set_by_link(&link, PASSWORD).await),
        "link.invalid"
    );

    let user = world.user("bob").await;
    world.request_reset(&user.email).await.unwrap();
    let link = newest_link(&world.mails(&user.email, 3).await);
    assert_eq!(
        inspect(&world, &link).await.unwrap().purpose(),
        LinkPurpose::PasswordReset
    );
    world.advance(3_599);
    inspect(&world, &link).await.unwrap();
    world.advance(1);
    assert_eq!(
        reason(world.set_by_link(&link, OTHER_PASSWORD).await),
        "link.invalid"
    );
    world.end().await;
}

async fn a_repeated_invitation_makes_no_second_mail(world: World) {
    let user = world.invited("ada", |_| {}).await;
    let first = world.invite(&user, "key").await.unwrap();
    let again = world.invite(&user, "key").await.unwrap();
    assert_eq!(again.link_token, "", "shown once");
    assert_eq!(again.expires_at, first.expires_at);
    assert_eq!(world.all_mails(&user.email).await.len(), 1);
    world
        .set_by_link(&first.link_token, PASSWORD)
        .await
        .unwrap();
    // Also after the link was used: the request has been answered.
    world.invite(&user, "key").await.unwrap();
    world.end().await;
}

async fn a_later_invitation_ends_the_earlier(world: World) {
    let user = world.invited("ada", |_| {}).await;
    let first = world.invite(&user, "1").await.unwrap().link_token;
    let mailed = link_of(&world.mails(&user.email, 1).await[0]);
    let second = world.invite(&user, "2").await.unwrap().link_token;
    for ended in [first, mailed] {
        assert_eq!(reason(inspect(&world, &ended).await), "link.invalid");
    }
    world.set_by_link(&second, PASSWORD).await.unwrap();
    world.end().await;
}

async fn a_reset_answers_alike_for_everybody_and_mails_only_users(world: World) {
    let user = world.user("ada").await;
    for email in [
        user.email.as_str(),
        "nobody@example.com",
        "not an address",
        "",
    ] {
        world.request_reset(email).await.unwrap();
    }
    world.mails(&user.email, 3).await;
    assert!(world.all_mails("nobody@example.com").await.is_empty());
    let asked = world.log.wait_for("authn_password_reset_request", 1).await;
    assert_eq!(asked[0].target, user.id.to_string());
    assert_eq!(asked[0].actor, "", "whoever asks need not be the user");
    assert_eq!(world.log.of_type("authn_password_reset_request").len(), 1);
    world.end().await;
}

async fn a_reset_signs_nobody_in_and_ends_sessions(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world.request_reset(&user.email).await.unwrap();
    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, 4).await;
    let links = crate::world::links_in(&mails);
    let (first, second) = (links[1].clone(), links[2].clone());
    world.set_by_link(&first, OTHER_PASSWORD).await.unwrap();
    let sessions: i64 = world.value("SELECT COUNT(*) FROM sessions").await;
    assert_eq!(sessions, 0);
    assert_eq!(reason(session.who().await), "session.expired");
    assert_eq!(
        reason(world.set_by_link(&second, PASSWORD).await),
        "link.invalid"
    );
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    world.end().await;
}

async fn a_link_is_used_once_however_many_use_it(world: World) {
    let user = world.invited("ada", |_| {}).await;
    let link = world.invite(&user, "key").await.unwrap().link_token;
    let world = Arc::new(world);
    let mut uses = JoinSet::new();
    for n in 0..50 {
        let (world, link) = (world.clone(), link.clone());
        uses.spawn(async move {
            let password = format!("fifty plum trees no {n}");
            world.set_by_link(&link, &password).await.map(|_| password)
        });
    }
    let mut set = Vec::new();
    while let Some(answer) = uses.join_next().await {
        match answer.unwrap() {
            Ok(password) => set.push(password),
            Err(status) if status.code() == Code::Unavailable => {}
            Err(status) => assert_eq!(refusal(&status).reason, "link.invalid"),
        }
    }
    assert_eq!(set.len(), 1);
    world
        .try_sign_in(&user.email, &set[0], ADDRESS, "")
        .await
        .unwrap();
    let changes = world.log.wait_for("authn_password_change", 1).await;
    assert_eq!(changes.len(), 1);
}

async fn a_weak_password_leaves_the_link_open(world: World) {
    let user = world.invited("ada", |_| {}).await;
    let link = world.invite(&user, "key").await.unwrap().link_token;
    for (chosen, expected) in [
        ("short", "password.too_short"),
        ("passwordpassword", "password.common"),
        ("norrlandtimber-1", "password.context_word"),
    ] {
        let refused = refusal(&world.set_by_link(&link, chosen).await.unwrap_err());
        assert_eq!(
            refused.fields,
            [("password".to_owned(), expected.to_owned())]
        );
    }
    world.set_by_link(&link, PASSWORD).await.unwrap();
    world.end().await;
}

async fn resets_are_limited_by_the_hour(world: World) {
    let user = world.user("ada").await;
    for _ in 0..7 {
        world.request_reset(&user.email).await.unwrap();
    }
    // An invitation, the notice of the first password, and five resets.
    assert_eq!(world.all_mails(&user.email).await.len(), 7);
    world.advance(3_600);
    world.request_reset(&user.email).await.unwrap();
    assert_eq!(world.all_mails(&user.email).await.len(), 8);
    world.end().await;
}

async fn an_administrator_starts_a_reset_and_sees_no_link(world: World) {
    let user = world.user("ada").await;
    let invited = world.invited("bo", |_| {}).await;
    let start = |id: String| {
        let mut projections = world.projections();
        let request = proto::StartPasswordResetRequest { user_id: id };
        async move { projections.start_password_reset(request).await }
    };
    let refused = start(invited.id.to_string()).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "user.not_active");
    start(user.id.to_string()).await.unwrap();
    let link = newest_link(&world.mails(&user.email, 3).await);
    let seen = inspect(&world, &link).await.unwrap();
    assert_eq!(seen.purpose(), LinkPurpose::PasswordReset);
    world.set_by_link(&link, OTHER_PASSWORD).await.unwrap();
    world.end().await;
}

async fn resets_are_limited_by_the_address_that_asks(world: World) {
    let user = world.user("ada").await;
    let world = Arc::new(world);
    let mut asked = JoinSet::new();
    for n in 0..60 {
        let world = world.clone();
        asked.spawn(async move {
            let nobody = format!("nobody{n}@example.com");
            world.request_reset_from(&nobody, ADDRESS).await
        });
    }
    for answer in asked.join_all().await {
        answer.unwrap();
    }
    let counted: i32 = world.value("SELECT failures FROM guess_addresses").await;
    assert_eq!(counted, 20, "what is beyond is not taken");
    world
        .request_reset_from(&user.email, ADDRESS)
        .await
        .unwrap();
    // An invitation, and the notice of the first password.
    assert_eq!(world.all_mails(&user.email).await.len(), 2);
    // Neither another address nor a sign-in from this one is any worse off.
    world
        .request_reset_from(&user.email, "192.0.2.8")
        .await
        .unwrap();
    assert_eq!(world.all_mails(&user.email).await.len(), 3);
    world.sign_in(&user).await;
    world.advance(60);
    world
        .request_reset_from(&user.email, ADDRESS)
        .await
        .unwrap();
    assert_eq!(world.all_mails(&user.email).await.len(), 4);
}

async fn a_mail_that_is_tried_again_was_asked_for_once(mut world: World) {
    let user = world.user("ada").await;
    world.all_mails(&user.email).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    world
        .restart(|config| {
            let mail = &mut config.identity.mail;
            mail.route = MailRouteKind::Smtp;
            mail.smtp.host = "127.0.0.1".to_owned();
            mail.smtp.port = port;
            mail.smtp.encryption = SmtpEncryption::None;
        })
        .await;
    world.request_reset(&user.email).await.unwrap();
    for tries in 1..=3 {
        let tried =
            format!("SELECT COUNT(*) FROM outbox WHERE topic = 'mail' AND attempts >= {tries}");
        while world.value::<i64>(&tried).await == 0 {
            tokio::task::yield_now().await;
        }
        world.advance(60);
    }
    world
        .restart(|config| config.identity.mail.route = MailRouteKind::Inbox)
        .await;
    let link = link_of(&world.mails(&user.email, 1).await[0]);
    inspect(&world, &link).await.unwrap();
    let left = "SELECT COUNT(*) FROM outbox";
    while world.value::<i64>(left).await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.log.of_type("authn_password_reset_request").len(), 1);
    world.end().await;
}

async fn mails_speak_the_users_language(world: World) {
    let user = world
        .invited("ada", |user| user.locale = "fr".to_owned())
        .await;
    world.invite(&user, "key").await.unwrap();
    let mail = &world.mails(&user.email, 1).await[0];
    assert_eq!(mail.subject, "Choisissez votre mot de passe");
    assert!(
        mail.text.contains("http://localhost:8080/link/spl_"),
        "{}",
        mail.text
    );
    assert!(mail.text.contains("2026-03-09 09:00 UTC"), "{}", mail.text);
    world.end().await;
}

async fn no_token_lies_in_the_store(world: World) {
    let user = world.invited("ada", |_| {}).await;
    let link = world.invite(&user, "key").await.unwrap().link_token;
    world.set_by_link(&link, PASSWORD).await.unwrap();
    // Mails of before have left, so that the job that stays is the reset's.
    world.all_mails(&user.email).await;
    // With the table away the mail cannot be written, so its job stays in the outbox.
    world.execute("ALTER TABLE links RENAME TO away").await;
    world.request_reset(&user.email).await.unwrap();
    let jobs = "SELECT COUNT(*) FROM outbox WHERE topic = 'mail' AND attempts > 0";
    while world.value::<i64>(jobs).await == 0 {
        tokio::task::yield_now().await;
    }
    let payload = "SELECT payload FROM outbox WHERE topic = 'mail' AND attempts > 0";
    let payload: Vec<u8> = world.value(payload).await;
    let payload = String::from_utf8(payload).unwrap();
    assert!(payload.contains(&user.email), "{payload}");
    assert!(!payload.contains("spl_"), "{payload}");
    world.execute("ALTER TABLE away RENAME TO links").await;
    world.advance(60);
    world.mails(&user.email, 3).await;
    world.end().await;
}
