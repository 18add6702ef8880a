//! A failover of the store forgets the claim on a message: a replica takes over that has not heard of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use otp_dispatch::dispatcher::Routes;
use otp_dispatch::domain::message::{Class, MessageState};
use otp_dispatch::ports::{Claim, Settle, Submission};
use sallyport_testkit::ManualClock;
use tokio::sync::mpsc;

use super::Scripted;
use super::rig::{At, Rig};

/// Dispatches over a route that answers once and then accepts, with a store that forgets the claim in a
/// failover at what is recorded there; stops, and waits until the message could come again.
async fn forgotten(rig: &Rig, clock: &ManualClock, route: &Arc<Scripted>, at: At) {
    *rig.watched.failover.lock().unwrap() = Some(at);
    let routes = Routes::of(vec![route.clone()], 4, Duration::from_secs(1));
    let running = rig.dispatch(&routes);
    rig.lost_a_claim().await;
    running.stop().await;
    clock.advance(Duration::from_secs(1));
}

#[tokio::test]
async fn what_was_not_written_when_a_failover_forgot_its_claim_comes_again() {
    let writing: At = |settle| matches!(settle, Settle::Writing { .. });
    let released: At = |settle| matches!(settle, Settle::Released);
    for (at, answers) in [(writing, vec![]), (released, vec![Submission::NotWritten])] {
        for class in [Class::Code, Class::Notice] {
            let (rig, clock) = Rig::embedded().await;
            let message = rig.message(class, "text");
            rig.accept(&message).await;
            let (seen, _asked) = mpsc::unbounded_channel();
            let route = Scripted::new("a", answers.clone(), &seen);
            forgotten(&rig, &clock, &route, at).await;
            assert_eq!(rig.queue.depth(class).await.unwrap(), 1, "it is not lost");
            let written = route.submitted.load(Ordering::SeqCst);
            assert_eq!(written, answers.len());

            let routes = Routes::of(vec![route.clone()], 4, Duration::from_secs(1));
            let running = rig.dispatch(&routes);
            let end = rig.outcome(&message).await;
            running.stop().await;
            assert!(matches!(end, Settle::Accepted { .. }), "{end:?}");
            let written = route.submitted.load(Ordering::SeqCst);
            assert_eq!(written, answers.len() + 1);
        }
    }
}

#[tokio::test]
async fn what_became_of_a_message_is_recorded_though_a_failover_forgot_its_claim() {
    let accepted: At = |settle| matches!(settle, Settle::Accepted { .. });
    let unknown: At = |settle| matches!(settle, Settle::Unknown { .. });
    let failed: At = |settle| matches!(settle, Settle::Failed { .. });
    let refused = Submission::RefusedForGood {
        reason: "number_refused".to_owned(),
    };
    for (at, answers, state) in [
        (accepted, vec![], MessageState::Submitted),
        (
            unknown,
            vec![Submission::Unanswered],
            MessageState::OutcomeUnknown,
        ),
        (
            failed,
            vec![refused],
            MessageState::Failed("number_refused".to_owned()),
        ),
    ] {
        let (rig, clock) = Rig::embedded().await;
        let message = rig.message(Class::Notice, "text");
        rig.accept(&message).await;
        let (seen, _asked) = mpsc::unbounded_channel();
        let route = Scripted::new("a", answers, &seen);
        forgotten(&rig, &clock, &route, at).await;
        assert_eq!(rig.state(&message).await, Claim::Settled(state));
        assert_eq!(rig.queue.depth(Class::Notice).await.unwrap(), 0);
        assert_eq!(
            route.submitted.load(Ordering::SeqCst),
            1,
            "and not sent twice"
        );
    }
}

/// In doubt, and then forgotten: the resend goes to the other route, and only there.
#[tokio::test]
async fn a_code_in_doubt_goes_to_the_other_route_though_a_failover_forgot_its_claim() {
    let (rig, clock) = Rig::embedded().await;
    let message = rig.message(Class::Code, "text");
    rig.accept(&message).await;
    let (seen, _asked) = mpsc::unbounded_channel();
    let a = Scripted::new("a", vec![Submission::Unanswered], &seen);
    let b = Scripted::new("b", vec![], &seen);
    let released: At = |settle| matches!(settle, Settle::Released);
    *rig.watched.failover.lock().unwrap() = Some(released);
    let routes = Routes::of(vec![a.clone(), b.clone()], 4, Duration::from_secs(1));
    let running = rig.dispatch(&routes);
    let end = rig.outcome(&message).await;
    running.stop().await;
    clock.advance(Duration::from_secs(1));
    assert!(
        matches!(&end, Settle::Accepted { route, .. } if route == "b"),
        "{end:?}"
    );
    let count = |route: &Scripted| route.submitted.load(Ordering::SeqCst);
    assert_eq!((count(&a), count(&b)), (1, 1));
    assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 0);
}
