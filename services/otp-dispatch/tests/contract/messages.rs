//! Claims, outcomes, receipts, notices, and what was not confirmed.

use futures::future::join_all;
use otp_dispatch::domain::challenge::Phase;
use otp_dispatch::ports::{Accepted, Claim, ReceiptState, Settle};

use super::*;

const LEASE: Duration = Duration::from_secs(30);
const LEASE_MS: i64 = 30_000;

fn writing(route: &str) -> Settle {
    Settle::Writing {
        route: route.to_owned(),
    }
}

fn accepted(route: &str, carrier_id: &str) -> Settle {
    Settle::Accepted {
        route: route.to_owned(),
        carrier_id: carrier_id.to_owned(),
    }
}

fn failed(reason: &str) -> ReceiptState {
    ReceiptState::Failed(reason.to_owned())
}

impl Stores {
    async fn claim(&self, id: &str, now: i64) -> Claim {
        // The store knows the message; the copy from the queue only names it.
        let copy = message(&format!("{id}/1"), Some(id), now + 10 * MINUTE);
        self.messages.claim(&copy, LEASE, now).await.unwrap()
    }

    async fn fence(&self, id: &str, now: i64) -> u64 {
        match self.claim(id, now).await {
            Claim::Send { fence } => fence,
            other => panic!("not to be sent: {other:?}"),
        }
    }

    async fn settle(&self, id: &str, fence: u64, settle: Settle, now: i64) -> bool {
        self.messages
            .settle(&format!("{id}/1"), fence, settle, now)
            .await
            .unwrap()
    }

    async fn receipt(&self, route: &str, carrier_id: &str, state: ReceiptState, now: i64) {
        self.messages
            .receipt(route, carrier_id, state, now)
            .await
            .unwrap();
    }

    /// A challenge whose message a carrier accepted.
    async fn submitted(&self, id: &str, route: &str, carrier_id: &str) {
        self.created(new_challenge(id, T0)).await;
        let fence = self.fence(id, T0).await;
        assert!(self.settle(id, fence, writing(route), T0).await);
        assert!(
            self.settle(id, fence, accepted(route, carrier_id), T0)
                .await
        );
    }
}

pub(super) async fn a_message_is_held_by_one(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let fence = stores.fence("c", T0).await;
    assert_eq!(stores.claim("c", T0 + LEASE_MS - 1).await, Claim::Held);
    assert_eq!(stores.state("c", T0).await, MessageState::Queued);
    assert!(!stores.settle("c", fence + 1, accepted("a", "1"), T0).await);
    assert!(
        !stores
            .settle("unknown", fence, accepted("a", "1"), T0)
            .await
    );
    assert!(stores.settle("c", fence, accepted("a", "1"), T0).await);
    assert_eq!(
        stores.claim("c", T0).await,
        Claim::Settled(MessageState::Submitted)
    );
}

pub(super) async fn claims_at_once_give_one_holder(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let tasks = (0..50).map(|_| {
        let stores = stores.clone();
        tokio::spawn(async move { stores.claim("c", T0).await })
    });
    let claims: Vec<Claim> = join_all(tasks)
        .await
        .into_iter()
        .map(|task| task.unwrap())
        .collect();
    let sent = claims
        .iter()
        .filter(|claim| matches!(claim, Claim::Send { .. }))
        .count();
    let held = claims.iter().filter(|claim| **claim == Claim::Held).count();
    assert_eq!((sent, held), (1, 49));
}

pub(super) async fn a_released_message_is_free(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let first = stores.fence("c", T0).await;
    assert!(stores.settle("c", first, writing("a"), T0).await);
    assert!(stores.settle("c", first, Settle::Released, T0).await);
    assert!(!stores.settle("c", first, Settle::Released, T0).await);
    // Not written after all: the route is forgotten, and no doubt is left.
    let second = stores.fence("c", T0).await;
    assert!(second > first);
    assert!(matches!(
        stores.claim("c", T0 + LEASE_MS).await,
        Claim::Send { .. }
    ));
}

pub(super) async fn a_dead_holder_that_wrote_leaves_doubt(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let first = stores.fence("c", T0).await;
    assert!(stores.settle("c", first, writing("a"), T0).await);
    assert_eq!(stores.claim("c", T0 + LEASE_MS - 1).await, Claim::Held);
    let later = T0 + LEASE_MS;
    let claim = stores.claim("c", later).await;
    let Claim::Doubt { fence, route } = claim else {
        panic!("{claim:?}")
    };
    assert_eq!((fence > first, route.as_str()), (true, "a"));
    // The dead holder's late word does not count, and the new one holds it.
    assert!(!stores.settle("c", first, accepted("a", "1"), later).await);
    assert_eq!(stores.claim("c", later).await, Claim::Held);
    // Doubt stays doubt, also past the deadline: it may have been sent.
    let end = T0 + 20 * MINUTE;
    let claim = stores.claim("c", end).await;
    let Claim::Doubt { fence, route } = claim else {
        panic!("{claim:?}")
    };
    assert_eq!(route, "a");
    assert!(
        stores
            .settle("c", fence, Settle::Unknown { route }, end)
            .await
    );
    assert_eq!(stores.state("c", end).await, MessageState::OutcomeUnknown);
}

pub(super) async fn a_dead_holder_that_did_not_write_leaves_none(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let first = stores.fence("c", T0).await;
    let second = stores.fence("c", T0 + LEASE_MS).await;
    assert!(second > first);
    assert!(!stores.settle("c", first, writing("a"), T0 + LEASE_MS).await);
    assert!(
        stores
            .settle("c", second, writing("b"), T0 + LEASE_MS)
            .await
    );
}

pub(super) async fn a_settled_message_stays_settled(stores: Stores) {
    let unknown = Settle::Unknown {
        route: "a".to_owned(),
    };
    let refused = Settle::Failed {
        reason: "number_refused".to_owned(),
    };
    for (id, settle, state) in [
        ("sent", accepted("a", "1"), MessageState::Submitted),
        ("unknown", unknown, MessageState::OutcomeUnknown),
        (
            "failed",
            refused,
            MessageState::Failed("number_refused".to_owned()),
        ),
    ] {
        stores.created(new_challenge(id, T0)).await;
        let fence = stores.fence(id, T0).await;
        assert!(stores.settle(id, fence, settle, T0).await);
        assert_eq!(stores.state(id, T0).await, state);
        assert_eq!(
            stores.claim(id, T0 + 20 * MINUTE).await,
            Claim::Settled(state.clone())
        );
        assert!(!stores.settle(id, fence, accepted("b", "2"), T0).await);
        stores.messages.queued(&format!("{id}/1")).await.unwrap();
        assert_eq!(stores.state(id, T0).await, state);
    }
}

pub(super) async fn a_message_past_its_deadline_expires(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let fence = stores.fence("c", T0 + 10 * MINUTE - 1).await;
    assert!(
        stores
            .settle("c", fence, Settle::Released, T0 + 10 * MINUTE)
            .await
    );
    assert_eq!(stores.claim("c", T0 + 10 * MINUTE).await, Claim::Expired);
    assert_eq!(
        stores.state("c", T0 + 10 * MINUTE).await,
        MessageState::Expired
    );
    let settled = Claim::Settled(MessageState::Expired);
    assert_eq!(stores.claim("c", T0).await, settled);
}

pub(super) async fn messages_of_ended_challenges_are_suppressed(stores: Stores) {
    for id in ["used", "cancelled", "guessed"] {
        stores.created(new_challenge(id, T0)).await;
    }
    stores.verified(attempt("used", true, "r", T0)).await;
    stores
        .challenges
        .cancel("cancelled", &binding("b"), T0)
        .await
        .unwrap();
    for i in 0..5 {
        stores
            .verified(attempt("guessed", false, &format!("r{i}"), T0))
            .await;
    }
    assert_eq!(stores.view("guessed", T0).await.phase, Phase::OutOfTries);
    for id in ["used", "cancelled", "guessed"] {
        assert_eq!(stores.claim(id, T0).await, Claim::Suppressed, "{id}");
        assert_eq!(stores.state(id, T0).await, MessageState::Suppressed, "{id}");
        assert_eq!(
            stores.claim(id, T0).await,
            Claim::Settled(MessageState::Suppressed),
            "{id}"
        );
    }
}

pub(super) async fn a_message_without_state_is_lost(stores: Stores) {
    assert_eq!(stores.claim("never", T0).await, Claim::StateLost);
    stores.messages.queued("never/1").await.unwrap();
    assert_eq!(stores.claim("never", T0).await, Claim::StateLost);
}

pub(super) async fn receipts_update_the_state(stores: Stores) {
    stores.submitted("c", "a", "ID1").await;
    stores
        .receipt("a", "ID1", ReceiptState::Intermediate, T0)
        .await;
    assert_eq!(stores.state("c", T0).await, MessageState::Submitted);
    stores
        .receipt("a", "ID1", ReceiptState::Delivered, T0)
        .await;
    assert_eq!(stores.state("c", T0).await, MessageState::Delivered);
    stores
        .receipt("a", "ID1", ReceiptState::Intermediate, T0)
        .await;
    assert_eq!(stores.state("c", T0).await, MessageState::Delivered);

    stores.submitted("d", "a", "ID2").await;
    stores.receipt("a", "ID2", failed("absent"), T0).await;
    assert_eq!(
        stores.state("d", T0).await,
        MessageState::Failed("absent".to_owned())
    );
    // A carrier without ids has no receipts.
    stores.submitted("e", "a", "").await;
    stores.receipt("a", "", ReceiptState::Delivered, T0).await;
    assert_eq!(stores.state("e", T0).await, MessageState::Submitted);
}

pub(super) async fn receipts_before_the_answer_are_parked_for_ten_minutes(stores: Stores) {
    stores
        .receipt("a", "ID1", ReceiptState::Delivered, T0 - 10 * MINUTE + 1)
        .await;
    stores.submitted("c", "a", "ID1").await;
    assert_eq!(stores.state("c", T0).await, MessageState::Delivered);

    stores
        .receipt("a", "ID2", ReceiptState::Delivered, T0 - 10 * MINUTE)
        .await;
    stores.submitted("d", "a", "ID2").await;
    assert_eq!(stores.state("d", T0).await, MessageState::Submitted);

    stores.receipt("a", "ID3", failed("absent"), T0).await;
    stores
        .receipt("a", "ID3", ReceiptState::Intermediate, T0)
        .await;
    stores.submitted("e", "a", "ID3").await;
    assert_eq!(
        stores.state("e", T0).await,
        MessageState::Failed("absent".to_owned())
    );
}

pub(super) async fn delivered_is_final_in_either_order(stores: Stores) {
    stores.submitted("c", "a", "ID1").await;
    stores
        .receipt("a", "ID1", ReceiptState::Delivered, T0)
        .await;
    stores.receipt("a", "ID1", failed("expired"), T0).await;
    assert_eq!(stores.state("c", T0).await, MessageState::Delivered);

    stores.submitted("d", "a", "ID2").await;
    stores.receipt("a", "ID2", failed("expired"), T0).await;
    stores
        .receipt("a", "ID2", ReceiptState::Delivered, T0)
        .await;
    assert_eq!(stores.state("d", T0).await, MessageState::Delivered);

    // And while both are parked.
    for (id, carrier_id, delivered_first) in [("e", "ID3", true), ("f", "ID4", false)] {
        if delivered_first {
            stores
                .receipt("a", carrier_id, ReceiptState::Delivered, T0)
                .await;
        }
        stores.receipt("a", carrier_id, failed("expired"), T0).await;
        if !delivered_first {
            stores
                .receipt("a", carrier_id, ReceiptState::Delivered, T0)
                .await;
        }
        stores.submitted(id, "a", carrier_id).await;
        assert_eq!(stores.state(id, T0).await, MessageState::Delivered, "{id}");
    }
}

pub(super) async fn receipts_are_told_apart_by_route(stores: Stores) {
    stores.submitted("c", "a", "1").await;
    stores.submitted("d", "b", "1").await;
    stores.receipt("b", "1", ReceiptState::Delivered, T0).await;
    assert_eq!(stores.state("c", T0).await, MessageState::Submitted);
    assert_eq!(stores.state("d", T0).await, MessageState::Delivered);
}

pub(super) async fn a_notice_is_accepted_once(stores: Stores) {
    let day = 24 * 60 * MINUTE;
    let accept = async |id: &str, body: &str| {
        let notice = message(id, None, T0 + day);
        stores
            .messages
            .accept_notice("key", body, &notice, T0)
            .await
            .unwrap()
    };
    assert_eq!(accept("n1", "body").await, Accepted::New);
    let first = message("n1", None, T0 + day);
    let repeated = |unconfirmed| Accepted::Repeated {
        message_id: "n1".to_owned(),
        unconfirmed,
    };
    assert_eq!(accept("n2", "body").await, repeated(Some(first.clone())));
    assert_eq!(accept("n2", "other").await, Accepted::Conflict);
    stores.messages.queued("n1").await.unwrap();
    assert_eq!(accept("n2", "body").await, repeated(None));
    let claim = async |message: &QueueMessage, now: i64| {
        stores.messages.claim(message, LEASE, now).await.unwrap()
    };
    assert!(matches!(claim(&first, T0).await, Claim::Send { .. }));
    assert_eq!(
        claim(&message("n2", None, T0 + day), T0).await,
        Claim::StateLost
    );
}

pub(super) async fn unconfirmed_messages_are_handed_out_until_confirmed(stores: Stores) {
    let age = Duration::from_secs(5);
    let due = async |now: i64, limit: usize| {
        let due = stores.messages.unconfirmed(now, age, limit).await.unwrap();
        due.into_iter()
            .map(|message| message.message_id)
            .collect::<Vec<_>>()
    };
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        stores.created(new_challenge(id, T0 + n as i64)).await;
    }
    assert!(due(T0 + 4_999, 9).await.is_empty());
    // The oldest first; what is handed out counts as new.
    assert_eq!(due(T0 + 5_001, 9).await, ["a/1", "b/1"]);
    assert_eq!(due(T0 + 5_002, 9).await, ["c/1"]);
    assert!(due(T0 + 5_003, 9).await.is_empty());
    assert_eq!(due(T0 + 10_100, 1).await, ["a/1"]);
    stores.messages.queued("b/1").await.unwrap();
    // A claimed message came out of the queue, so the queue has it.
    let fence = stores.fence("c", T0 + 10_100).await;
    assert!(
        stores
            .settle("c", fence, Settle::Released, T0 + 10_100)
            .await
    );
    assert_eq!(due(T0 + 20_000, 9).await, ["a/1"]);
    assert_eq!(stores.state("a", T0 + 20_000).await, MessageState::Queued);
}

pub(super) async fn an_unconfirmed_message_is_not_published_past_its_deadline(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let late = T0 + 10 * MINUTE;
    let due = stores
        .messages
        .unconfirmed(late, Duration::from_secs(5), 9)
        .await
        .unwrap();
    assert!(due.is_empty());
    assert_eq!(stores.state("c", late).await, MessageState::Expired);
    assert_eq!(
        stores.claim("c", late).await,
        Claim::Settled(MessageState::Expired)
    );
}
