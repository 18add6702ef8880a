//! Ways around the second step: every call that a session may try which awaits it; while it is locked;
//! and behind a password that was reset by mail. (A disabled factor: `parallel.rs`.)
//!
//! Harsh: the attacker knows the password, reads the mailbox, holds a browser that was remembered, and
//! a gateway's certificate. He has no phone and no recovery code.
//!
//! Through is: a call that is answered before the second step; a sign-in that no longer asks; a session
//! or remembered browser that outlives the reset.

use anyhow::{Context, Result};
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::admin::v1::event_service_client::EventServiceClient;
use sallyport_proto::admin::v1::profile_service_client::ProfileServiceClient;
use sallyport_proto::admin::v1::user_service_client::UserServiceClient;
use sallyport_proto::admin::v1::{
    AddUserRequest, GetProfileRequest, ListEventsRequest, ListUsersRequest, UpdateProfileRequest,
};
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use sallyport_proto::identity::v1::{
    ChangeNumberRequest, ChangePasswordRequest, DisableTwoFactorRequest, GetTwoFactorRequest,
    ListSessionsRequest, RemakeRecoveryCodesRequest, RequestPasswordResetRequest,
    RevokeSessionsRequest, SendEnrolmentLinkRequest, SendStepUpCodeRequest, SessionStage,
    UseEnrolmentLinkRequest,
};
use tonic::Status;

use crate::attack::person::{PASSWORD, Session, fresh_key, set_password, sign_in};
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, pick};
use crate::attack::tally::Guesses;

/// The password that the reset sets.
const RESET: &str = "velvet harbour spoons 77 drift";
/// Wrong codes that lock the second step with the settings of this stack, and codes of so many
/// challenges that judge them.
const LOCKED_AT: u64 = 99;
const TRIES: u64 = 5;

/// Plays it.
pub async fn play(stack: &mut Stack) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 1)?;
    let (wire, other) = (pick(&wires, 0), pick(&wires, 1));
    let admin = stack.account_admin(Holder::Gateway)?;
    let mut person = stack.enrolled().await?;
    let phone = Stack::phone(stack.number_anew());
    let mut outcome = Outcome::default();

    let begun = person.begin(&stack.processes.smsc, wire).await?;
    let verified = begun.session.verify_in(&begun.code, true).await?;
    let remembered = verified.browser_token;
    let awaiting = person.sign_in(wire).await?;
    for (what, answer) in around(&awaiting, other, &admin, &phone).await {
        outcome.refused(&format!("{what} before the second step"), answer);
    }

    // Locked: what a lock closes opens nothing else.
    let guesses = Guesses::that_miss([]);
    for from in (0..LOCKED_AT).step_by(TRIES as usize) {
        let begun = person.begin(&stack.processes.smsc, wire).await?;
        let miss = Guesses::that_miss([begun.code.clone()]);
        for number in from..(from + TRIES).min(LOCKED_AT) {
            let answer = begun.session.verify(&miss.nth(number)).await;
            outcome.refused("a code without the SMS", answer);
        }
    }
    let locked = person.sign_in(other).await?;
    let answer = locked.send_code().await;
    outcome.refused("a code sent while the second step is locked", answer);
    let answer = awaiting.verify(&guesses.nth(0)).await;
    outcome.refused("a code while the second step is locked", answer);
    for (what, answer) in around(&locked, other, &admin, &phone).await {
        outcome.refused(&format!("{what} while the second step is locked"), answer);
    }

    // A reset by mail sets the password and nothing else.
    let request = RequestPasswordResetRequest {
        email: person.email.clone(),
    };
    PasswordServiceClient::new(wire.clone())
        .request_password_reset(awaiting.bearing("").ask(request))
        .await
        .context("asking for a reset")?;
    let link = stack
        .mailed_link(&person.email, "Set a new password")
        .await?;
    let enrol = CodeServiceClient::new(wire.clone())
        .use_enrolment_link(awaiting.ask(UseEnrolmentLinkRequest {
            link_token: link.clone(),
        }))
        .await;
    outcome.refused("a reset's link as an enrolment's", enrol);
    set_password(wire, &person.client_ip, &link, RESET)
        .await
        .context("the password by the reset")?;
    outcome.refused(
        "a session from before the reset",
        person.session.who().await,
    );
    outcome.refused("a session from before the reset", awaiting.who().await);
    for browser in ["", remembered.as_str()] {
        let (session, stage) =
            sign_in(other, &person.client_ip, &person.email, RESET, browser).await?;
        outcome.tried("second_factor_required");
        let let_in = u64::from(stage == SessionStage::SignedIn);
        outcome.never("a reset password that lets in alone", let_in);
        for (what, answer) in around(&session, wire, &admin, &phone).await {
            outcome.refused(&format!("{what} after the reset"), answer);
        }
    }
    let old = sign_in(wire, &person.client_ip, &person.email, PASSWORD, "").await;
    outcome.refused("the password from before the reset", old);
    Ok(outcome)
}

/// Every call that a session which awaits its second factor must not be answered.
async fn around(
    session: &Session,
    identity: &Outgoing,
    admin: &Outgoing,
    phone: &str,
) -> Vec<(&'static str, Result<(), Status>)> {
    let session = session.by(identity);
    let mut answers = vec![("EnableTwoFactor", session.enable(phone).await.map(drop))];
    answers.push((
        "ConfirmPassword",
        session.confirm_password(PASSWORD).await.map(drop),
    ));
    let mut factors = TwoFactorServiceClient::new(identity.clone());
    let ask = session.ask(GetTwoFactorRequest {});
    answers.push(("GetTwoFactor", factors.get_two_factor(ask).await.map(drop)));
    let ask = session.ask(ChangeNumberRequest {
        number: phone.to_owned(),
        idempotency_key: fresh_key(),
    });
    answers.push(("ChangeNumber", factors.change_number(ask).await.map(drop)));
    let ask = session.ask(DisableTwoFactorRequest {});
    let answer = factors.disable_two_factor(ask).await;
    answers.push(("DisableTwoFactor", answer.map(drop)));
    let ask = session.ask(RemakeRecoveryCodesRequest {});
    let answer = factors.remake_recovery_codes(ask).await;
    answers.push(("RemakeRecoveryCodes", answer.map(drop)));

    let mut codes = CodeServiceClient::new(identity.clone());
    let ask = session.ask(SendStepUpCodeRequest {
        idempotency_key: fresh_key(),
    });
    let answer = codes.send_step_up_code(ask).await;
    answers.push(("SendStepUpCode", answer.map(drop)));
    let ask = session.ask(SendEnrolmentLinkRequest {});
    let answer = codes.send_enrolment_link(ask).await;
    answers.push(("SendEnrolmentLink", answer.map(drop)));

    let ask = session.ask(ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: RESET.to_owned(),
    });
    let answer = PasswordServiceClient::new(identity.clone())
        .change_password(ask)
        .await;
    answers.push(("ChangePassword", answer.map(drop)));
    let mut sessions = SignInServiceClient::new(identity.clone());
    let answer = sessions
        .list_sessions(session.ask(ListSessionsRequest {}))
        .await;
    answers.push(("ListSessions", answer.map(drop)));
    let others = session.ask(RevokeSessionsRequest::default());
    let answer = sessions.revoke_sessions(others).await;
    answers.push(("RevokeSessions", answer.map(drop)));
    answers.extend(administration(&session, admin).await);
    answers
}

/// The same of account-admin.
async fn administration(
    session: &Session,
    admin: &Outgoing,
) -> Vec<(&'static str, Result<(), Status>)> {
    let mut profiles = ProfileServiceClient::new(admin.clone());
    let mut users = UserServiceClient::new(admin.clone());
    let mut events = EventServiceClient::new(admin.clone());
    let get = session.ask(GetProfileRequest {});
    let update = session.ask(UpdateProfileRequest::default());
    let list = session.ask(ListUsersRequest::default());
    let add = session.ask(AddUserRequest::default());
    let own = session.ask(ListEventsRequest::default());
    vec![
        ("GetProfile", profiles.get_profile(get).await.map(drop)),
        (
            "UpdateProfile",
            profiles.update_profile(update).await.map(drop),
        ),
        ("ListUsers", users.list_users(list).await.map(drop)),
        ("AddUser", users.add_user(add).await.map(drop)),
        ("ListEvents", events.list_events(own).await.map(drop)),
    ]
}
