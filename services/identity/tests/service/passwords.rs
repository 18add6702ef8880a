//! Confirming and changing a password.

use tonic::Code;

use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, World, reason, refusal};

on_both_databases!(
    a_changed_password_ends_everything_else,
    the_present_password_is_needed,
    weak_passwords_are_refused_with_their_reason,
    a_second_factor_makes_eight_letters_enough,
    a_password_counts_as_typed_in_another_form,
    a_password_counts_to_its_last_letter_and_in_its_own_case,
);

async fn a_changed_password_ends_everything_else(world: World) {
    let user = world.user("ada").await;
    let (here, there) = (world.sign_in(&user).await, world.sign_in(&user).await);
    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, 3).await;
    let reset = crate::world::newest_link(&mails);
    let token = here.change(PASSWORD, OTHER_PASSWORD).await.unwrap();
    assert_eq!(
        reason(here.who().await),
        "session.expired",
        "the old token is dead"
    );
    assert_eq!(reason(there.who().await), "session.expired");
    world.session(&token).who().await.unwrap();
    let old = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    assert_eq!(reason(old), "sign_in.failed");
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    let link = world.set_by_link(&reset, "a third way to begin").await;
    assert_eq!(reason(link), "link.invalid", "links from before have ended");
    let changes = world.log.wait_for("authn_password_change", 2).await;
    assert_eq!(changes[1].details["by"], "change");
    let mails = world.mails(&user.email, 4).await;
    assert_eq!(mails[3].subject, "Your password was changed");
    world.end().await;
}

async fn the_present_password_is_needed(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let status = session
        .change("not the password", OTHER_PASSWORD)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let wrong = refusal(&status);
    assert_eq!(wrong.reason, "password.wrong");
    assert_eq!(
        wrong.fields,
        [("current_password".to_owned(), "password.wrong".to_owned())]
    );
    session.who().await.unwrap();
    world
        .try_sign_in(&user.email, PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    world.end().await;
}

async fn weak_passwords_are_refused_with_their_reason(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let long = "ø".repeat(257);
    for (chosen, expected) in [
        ("fourteen fishe", "password.too_short"),
        (long.as_str(), "password.too_long"),
        ("passwordpassword", "password.common"),
        ("Norrland-Timber-1", "password.context_word"),
        ("ada@example.com!", "password.context_word"),
    ] {
        let refused = refusal(&session.change(PASSWORD, chosen).await.unwrap_err());
        assert_eq!(refused.reason, expected);
        assert_eq!(
            refused.fields,
            [("new_password".to_owned(), expected.to_owned())]
        );
        if expected == "password.too_short" {
            assert_eq!(refused.get("minimum"), Some("15"));
        }
    }
    session.who().await.unwrap();
    world
        .try_sign_in(&user.email, PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    world.end().await;
}

async fn a_second_factor_makes_eight_letters_enough(world: World) {
    let mut user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let eight = "vq7wkzhd";
    let alone = session.change(PASSWORD, eight).await;
    assert_eq!(reason(alone), "password.too_short");
    world
        .change(&mut user, |user| user.two_factor_required = true)
        .await;
    let required = session.change(PASSWORD, eight).await;
    let refused = refusal(&required.unwrap_err());
    assert_eq!(refused.get("minimum"), Some("15"), "required is not asked");
    world
        .execute(
            "INSERT INTO second_steps \
             (user_id, active, failures, recovery_tries, recovery_window_at) \
             SELECT id, TRUE, 0, 0, 0 FROM users",
        )
        .await;
    let seven = session.change(PASSWORD, &eight[1..]).await;
    assert_eq!(refusal(&seven.unwrap_err()).get("minimum"), Some("8"));
    session.change(PASSWORD, eight).await.unwrap();
    world.end().await;
}

async fn a_password_counts_to_its_last_letter_and_in_its_own_case(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let words = "Granite otters walk 47 bridges while seven copper kettles sing; ".repeat(4);
    let longest = &words[..256];
    session.change(PASSWORD, longest).await.unwrap();
    let sign_in = |password| world.try_sign_in(&user.email, password, ADDRESS, "");
    let (other_end, other_case) = (format!("{}!", &longest[..255]), longest.to_lowercase());
    for wrong in [other_end.as_str(), other_case.as_str(), &longest[..255]] {
        assert_eq!(reason(sign_in(wrong).await), "sign_in.failed");
    }
    sign_in(longest).await.unwrap();
    world.end().await;
}

async fn a_password_counts_as_typed_in_another_form(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    session
        .change(PASSWORD, "brûlée sans fenêtre")
        .await
        .unwrap();
    let combined = "bru\u{302}le\u{301}e sans fene\u{302}tre";
    world
        .try_sign_in(&user.email, combined, ADDRESS, "")
        .await
        .unwrap();
    world.end().await;
}
