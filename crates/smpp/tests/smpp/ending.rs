//! Signs of life, and the ways a session ends.

use std::time::Duration;

use futures::future::join_all;
use futures::poll;
use rusmpp::{CommandId, Pdu};
use sallyport_smpp::{Class, EndReason, NotWritten, SessionConfig, UnansweredReason};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::carrier::{bound, bound_over, config, request};
use crate::outcome::{LONG, accepted, answer, not_written, unanswered};

#[tokio::test(start_paused = true)]
async fn a_lost_connection_tells_written_from_waiting() {
    let (session, mut carrier, _deliveries) = bound_over(&config(), 40).await;
    let request = request();
    let mut begun = Box::pin(session.submit(&request));
    assert!(poll!(&mut begun).is_pending());
    // One octet proves that the writer has begun with it; the stream holds no more than 40.
    carrier.stream().read_u8().await.unwrap();
    let mut waiting = Box::pin(session.submit(&request));
    assert!(poll!(&mut waiting).is_pending());
    drop(carrier);
    let (begun, waiting) = tokio::join!(begun, waiting);
    let UnansweredReason::SessionEnded(reason) = unanswered(&begun) else {
        panic!("{begun:?}")
    };
    assert_eq!(not_written(&waiting), NotWritten::SessionEnded(reason));
    assert!(
        matches!(reason, EndReason::PeerClosed | EndReason::Io(_)),
        "{reason:?}"
    );
    assert_eq!(session.ended().await, reason);
    let after = session.submit(&request).await;
    assert_eq!(not_written(&after), NotWritten::SessionEnded(reason));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_no_octets_stalls() {
    let (session, mut carrier, _deliveries) = bound_over(&config(), 40).await;
    let request = request();
    let mut begun = Box::pin(session.submit(&request));
    assert!(poll!(&mut begun).is_pending());
    carrier.stream().read_u8().await.unwrap();
    let (begun, waiting) = tokio::join!(begun, session.submit(&request));
    assert_eq!(unanswered(&begun), UnansweredReason::TimedOut);
    assert_eq!(not_written(&waiting), NotWritten::Stalled);
}

#[tokio::test(start_paused = true)]
async fn everything_in_flight_comes_back_when_the_connection_drops() {
    let config = SessionConfig {
        window: 4,
        slot_timeout: LONG,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let request = request();
    let (outcomes, ()) = tokio::join!(join_all((0..6).map(|_| session.submit(&request))), async {
        for _ in 0..4 {
            carrier.submit().await;
        }
        drop(carrier);
    });
    let reason = EndReason::PeerClosed;
    for outcome in &outcomes[..4] {
        assert_eq!(unanswered(outcome), UnansweredReason::SessionEnded(reason));
    }
    for outcome in &outcomes[4..] {
        assert_eq!(not_written(outcome), NotWritten::SessionEnded(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_go_both_ways() {
    let config = config();
    let (session, mut carrier, _deliveries) = bound(&config).await;
    carrier.send(77, 0, Pdu::EnquireLink).await;
    let answered = carrier.expect(CommandId::EnquireLinkResp).await;
    assert_eq!(answered.sequence_number(), 77);

    let started = Instant::now();
    for round in 1..=3 {
        let enquiry = carrier.expect(CommandId::EnquireLink).await;
        assert_eq!(started.elapsed(), config.enquire_link_interval * round);
        carrier
            .send(enquiry.sequence_number(), 0, Pdu::EnquireLinkResp)
            .await;
    }
    carrier.expect(CommandId::EnquireLink).await;
    assert_eq!(session.ended().await, EndReason::Silent);
    let silent_for = config.enquire_link_interval + config.response_timeout;
    assert_eq!(
        started.elapsed(),
        config.enquire_link_interval * 3 + silent_for
    );
}

#[tokio::test(start_paused = true)]
async fn unbinding_waits_for_what_is_in_flight() {
    let config = SessionConfig {
        window: 1,
        slot_timeout: LONG,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let request = request();
    let mut first = Box::pin(session.submit(&request));
    assert!(poll!(&mut first).is_pending());
    let mut second = Box::pin(session.submit(&request));
    assert!(poll!(&mut second).is_pending());
    let (first, second, third, (), ()) = tokio::join!(
        first,
        second,
        session.submit(&request),
        session.unbind(LONG),
        async {
            let (sequence, _) = carrier.submit().await;
            carrier.expect_nothing().await;
            carrier.answer(sequence, 0, "x").await;
            let unbind = carrier.expect(CommandId::Unbind).await;
            carrier
                .send(unbind.sequence_number(), 0, Pdu::UnbindResp)
                .await;
            assert!(carrier.next().await.is_none(), "closed");
        }
    );
    assert_eq!(answer(first), accepted("x"));
    assert_eq!(not_written(&second), NotWritten::Stopping);
    assert!(third.class() == Class::FreeRetry, "{third:?}");
    assert_eq!(session.ended().await, EndReason::Unbound);
}

#[tokio::test(start_paused = true)]
async fn unbinding_gives_back_what_is_never_answered() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    let request = request();
    let mut first = Box::pin(session.submit(&request));
    assert!(poll!(&mut first).is_pending());
    let (first, (), ()) = tokio::join!(first, session.unbind(Duration::from_secs(1)), async {
        carrier.submit().await;
        let unbind = carrier.expect(CommandId::Unbind).await;
        carrier
            .send(unbind.sequence_number(), 0, Pdu::UnbindResp)
            .await;
    });
    assert_eq!(
        unanswered(&first),
        UnansweredReason::SessionEnded(EndReason::Unbound)
    );
}

#[tokio::test(start_paused = true)]
async fn unbinding_from_a_mute_peer_ends_all_the_same() {
    let config = config();
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let started = Instant::now();
    session.unbind(LONG).await;
    assert_eq!(started.elapsed(), config.response_timeout);
    carrier.expect(CommandId::Unbind).await;
    assert!(carrier.next().await.is_none(), "closed");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_unbinds_is_answered_before_the_end() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    let request = request();
    let (outcome, ()) = tokio::join!(session.submit(&request), async {
        carrier.submit().await;
        carrier.send(9, 0, Pdu::Unbind).await;
        let answered = carrier.expect(CommandId::UnbindResp).await;
        assert_eq!(answered.sequence_number(), 9);
        assert!(carrier.next().await.is_none(), "closed");
    });
    assert_eq!(
        unanswered(&outcome),
        UnansweredReason::SessionEnded(EndReason::PeerUnbound)
    );
    assert_eq!(session.ended().await, EndReason::PeerUnbound);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_session_closes_its_connection() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    drop(session);
    assert!(carrier.next().await.is_none());
}
