//! What a peer should not send.

use std::time::Duration;

use proptest::prelude::*;
use rusmpp::{CommandId, CommandStatus};
use sallyport_smpp::{EndReason, SubmitOutcome};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::carrier::{Carrier, DELIVER_SM, bound, config, pdu, receipt, request};

async fn still_works(
    session: &sallyport_smpp::Session,
    carrier: &mut Carrier<tokio::io::DuplexStream>,
) {
    let request = request();
    let (outcome, ()) = tokio::join!(session.submit(&request), async {
        let (sequence, _) = carrier.submit().await;
        carrier.answer(sequence, 0, "x").await;
    });
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_pdu_costs_that_pdu() {
    let (session, mut carrier, mut deliveries) = bound(&config()).await;
    // Announces more text than there is, with a good receipt right behind it.
    let body = b"\0\x01\x0133612345678\0\x05\x00SALLYPORT\0\x04\0\0\0\0\0\0\0\0\xFFid:1";
    carrier
        .raw(&[pdu(DELIVER_SM, 0, 4, body), receipt(5, "good")].concat())
        .await;
    let refused = carrier.expect(CommandId::DeliverSmResp).await;
    assert_eq!(
        (refused.sequence_number(), refused.status().into()),
        (4, 0x65_u32)
    );
    deliveries.recv().await.unwrap().acknowledgement.durable();
    let answered = carrier.expect(CommandId::DeliverSmResp).await;
    assert_eq!(
        (answered.sequence_number(), answered.status()),
        (5, CommandStatus::EsmeRok)
    );
    still_works(&session, &mut carrier).await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_without_an_id_is_answered_and_dropped() {
    let (session, mut carrier, mut deliveries) = bound(&config()).await;
    carrier.raw(&receipt(5, "")).await;
    let answered = carrier.expect(CommandId::DeliverSmResp).await;
    assert_eq!(
        (answered.sequence_number(), answered.status()),
        (5, CommandStatus::EsmeRok)
    );
    assert!(deliveries.try_recv().is_err());
    still_works(&session, &mut carrier).await;
}

#[tokio::test(start_paused = true)]
async fn unknown_requests_are_refused_and_unknown_responses_ignored() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    for command in [0x0000_0004, 0x0000_0103, 0x0001_0200] {
        carrier.raw(&pdu(command, 0, 8, b"whatever")).await;
        let nack = carrier.expect(CommandId::GenericNack).await;
        assert_eq!(
            (nack.sequence_number(), nack.status().into()),
            (8, 0x03_u32)
        );
    }
    for command in [
        0x8000_0004,
        0x8000_0006,
        0x8000_0009,
        0x8001_0200,
        0x0102,
        0x000B,
    ] {
        carrier
            .raw(&pdu(command, 0, 0x7000_0000, b"whatever"))
            .await;
    }
    carrier.expect_nothing().await;
    still_works(&session, &mut carrier).await;
}

#[tokio::test(start_paused = true)]
async fn an_absurd_length_ends_the_session() {
    for length in [0, 15, 64 * 1024 + 1, u32::MAX] {
        let (session, mut carrier, _deliveries) = bound(&config()).await;
        carrier.raw(&length.to_be_bytes()).await;
        assert_eq!(session.ended().await, EndReason::BadLength(length));
        assert!(carrier.next().await.is_none(), "closed");
    }
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    carrier
        .raw(&pdu(0x8000_0015, 0, 1, &vec![0; 64 * 1024 - 16]))
        .await;
    still_works(&session, &mut carrier).await;
}

/// A peer that asks for a thousand signs of life at a time and reads none of the answers.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_left() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    let enquiries: Vec<u8> = (0..1000).flat_map(|n| pdu(0x15, 0, n, b"")).collect();
    let flood = async {
        loop {
            carrier.raw_unless_closed(&enquiries).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        reason = session.ended() => assert_eq!(reason, EndReason::NotReading),
        () = flood => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any octets, raw or as the body of any command: the session answers or ends, no task
    /// panics, and the end of the stream is always noticed.
    #[test]
    fn arbitrary_octets_leave_the_session_sound(
        pdus in prop::collection::vec(
            (
                prop::sample::select(vec![
                    0x8000_0000_u32, 0x8000_0004, 0x05, 0x06, 0x15, 0x8000_0015, 0x8000_0006, 0x0102, 0x103,
                ]),
                any::<u32>(),
                0..4_u32,
                prop::collection::vec(any::<u8>(), 0..120),
            ),
            0..6,
        ),
        raw in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (session, mut carrier, _deliveries) = bound(&config()).await;
            let request = request();
            let (outcome, ()) = tokio::join!(session.submit(&request), async {
                for (command, status, sequence, body) in &pdus {
                    carrier.raw_unless_closed(&pdu(*command, *status, *sequence, body)).await;
                }
                carrier.raw_unless_closed(&raw).await;
                let _ = carrier.stream().shutdown().await;
            });
            drop(outcome);
            let ended = timeout(Duration::from_secs(3600), session.ended()).await;
            prop_assert!(ended.is_ok());
            Ok(())
        })?;
    }
}
