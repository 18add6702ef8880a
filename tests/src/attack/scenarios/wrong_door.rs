//! Guesses at otp-api by whoever holds a certificate that it does not answer to, or none; and the
//! calls between services, each by everybody who is not meant to make it.
//!
//! Harsh: the attacker stands on the inner network with the certificates of the gateway, of
//! account-admin or of an operator.
//!
//! Through is: any answer but that this caller may not (`caller.denied`): even a refusal that looked
//! at the request.

use std::sync::Arc;

use anyhow::Result;
use sallyport_chassis::Refusal;
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::admin::v1::event_service_client::EventServiceClient;
use sallyport_proto::admin::v1::organisation_service_client::OrganisationServiceClient;
use sallyport_proto::admin::v1::{AppendEventsRequest, ListOrganisationsRequest};
use sallyport_proto::identity::v1::mail_inbox_service_client::MailInboxServiceClient;
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use sallyport_proto::identity::v1::{
    InviteUserRequest, ListMailsRequest, PutUserRequest, StartPasswordResetRequest,
};
use sallyport_proto::otp::v1::SendNoticeRequest;
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::notice_service_client::NoticeServiceClient;
use sallyport_proto::otp::v1::{
    CancelChallengeRequest, CreateChallengeRequest, GetChallengeRequest, ResendChallengeRequest,
};
use tonic::Status;

use super::Scenario;
use super::otp_api::Sent;
use crate::attack::Plan;
use crate::attack::report::{ACCEPTED, Outcome};
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Guesses, Tally, volley, word};

/// Guesses under way.
const CALLERS: usize = 64;
/// Who is refused by otp-api.
const STRANGERS: [Holder; 4] = [
    Holder::Nobody,
    Holder::Gateway,
    Holder::AccountAdmin,
    Holder::Operator,
];

/// The word of an answer, and whether the caller got past the table of callers.
fn past_the_table<T>(answer: &Result<T, Status>) -> (String, bool) {
    match answer {
        Ok(_) => (ACCEPTED.to_owned(), true),
        Err(status) => {
            // Trouble, such as a handshake that failed, is no answer of the service.
            let refusal = Refusal::from_status(status);
            let past = refusal.is_some_and(|refusal| refusal.reason != "caller.denied");
            (word(status), past)
        }
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let identity = stack.otp(Holder::Identity, 1)?;
    let target = Arc::new(Sent::new(stack, pick(&identity, 0)).await?);
    let guesses = Arc::new(Guesses::that_miss([target.code.clone()]));
    let doors: Arc<[Wires]> = STRANGERS
        .iter()
        .map(|holder| stack.otp(*holder, 2))
        .collect::<Result<_>>()?;
    // Its one target: the table of callers.
    let tally = Tally::of(1);
    volley(0..Scenario::WrongDoor.part(plan, 400), CALLERS, {
        let tally = Arc::clone(&tally);
        move |number| {
            let (target, guesses) = (Arc::clone(&target), Arc::clone(&guesses));
            let (doors, tally) = (Arc::clone(&doors), Arc::clone(&tally));
            async move {
                let door = &doors[number as usize % doors.len()];
                let wire = pick(door, number / doors.len() as u64);
                let answer = target.verify(wire, &guesses.nth(number)).await;
                let (word, past) = past_the_table(&answer);
                tally.note(&word);
                if past {
                    tally.count(0);
                }
                Ok(())
            }
        }
    })
    .await?;
    let mut outcome = Outcome::default();
    outcome.add(&tally);
    let past = tally.judged().sum();
    outcome.never("otp-api judged for somebody else than identity", past);

    for holder in [
        Holder::Nobody,
        Holder::Gateway,
        Holder::Identity,
        Holder::AccountAdmin,
        Holder::Operator,
    ] {
        for (call, past) in inner_calls(stack, holder).await? {
            outcome.tried(&call.word);
            let what = format!("{} by {holder:?}", call.rpc);
            outcome.never(&what, u64::from(past));
        }
    }
    Ok(outcome)
}

struct Call {
    rpc: &'static str,
    word: String,
}

/// Every call between services that this holder is not meant to make.
async fn inner_calls(stack: &Stack, holder: Holder) -> Result<Vec<(Call, bool)>> {
    let identity = pick(&stack.identity(holder, 1)?, 0).clone();
    let otp = pick(&stack.otp(holder, 1)?, 0).clone();
    let admin = stack.account_admin(holder)?;
    let mut calls = Vec::new();
    let mut called = |rpc, answer: Result<(), Status>| {
        let (word, past) = past_the_table(&answer);
        calls.push((Call { rpc, word }, past));
    };
    if holder != Holder::Identity {
        for (rpc, answer) in otp_calls(otp).await {
            called(rpc, answer);
        }
        let mut events = EventServiceClient::new(admin.clone());
        let nothing = AppendEventsRequest { events: Vec::new() };
        called(
            "AppendEvents",
            events.append_events(nothing).await.map(drop),
        );
    }
    if holder != Holder::AccountAdmin {
        let mut projections = ProjectionServiceClient::new(identity.clone());
        let answer = projections.put_user(PutUserRequest::default()).await;
        called("PutUser", answer.map(drop));
        let answer = projections.invite_user(InviteUserRequest::default()).await;
        called("InviteUser", answer.map(drop));
        let reset = StartPasswordResetRequest::default();
        let answer = projections.start_password_reset(reset).await;
        called("StartPasswordReset", answer.map(drop));
    }
    if holder != Holder::Gateway {
        let mut mails = MailInboxServiceClient::new(identity);
        let answer = mails.list_mails(ListMailsRequest::default()).await;
        called("ListMails", answer.map(drop));
    }
    if holder != Holder::Operator {
        let mut organisations = OrganisationServiceClient::new(admin);
        let all = ListOrganisationsRequest::default();
        let answer = organisations.list_organisations(all).await;
        called("ListOrganisations", answer.map(drop));
    }
    Ok(calls)
}

/// What only identity asks of otp-api, beside the judging of codes.
async fn otp_calls(otp: Outgoing) -> Vec<(&'static str, Result<(), Status>)> {
    let mut challenges = ChallengeServiceClient::new(otp.clone());
    let mut notices = NoticeServiceClient::new(otp);
    let create = CreateChallengeRequest::default();
    let resend = ResendChallengeRequest::default();
    let cancel = CancelChallengeRequest::default();
    let get = GetChallengeRequest::default();
    let notice = SendNoticeRequest::default();
    vec![
        (
            "CreateChallenge",
            challenges.create_challenge(create).await.map(drop),
        ),
        (
            "ResendChallenge",
            challenges.resend_challenge(resend).await.map(drop),
        ),
        (
            "CancelChallenge",
            challenges.cancel_challenge(cancel).await.map(drop),
        ),
        (
            "GetChallenge",
            challenges.get_challenge(get).await.map(drop),
        ),
        ("SendNotice", notices.send_notice(notice).await.map(drop)),
    ]
}
