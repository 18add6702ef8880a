//! What the carrier delivers, and when it is told that we have it.

use rusmpp::{CommandId, CommandStatus};
use sallyport_smpp::{Event, Finality, Session};
use tokio::sync::mpsc;

use crate::carrier::{Carrier, SUBMIT_SM_RESP, bound, config, pdu, receipt, request};
use crate::outcome::{accepted, answer};

#[tokio::test(start_paused = true)]
async fn pdus_may_come_in_pieces_and_in_heaps() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let mut carrier = Carrier::new(theirs);
    let (sender, mut deliveries) = mpsc::channel(8);
    let config = config();
    let (session, ()) = tokio::join!(Session::over(ours, &config, sender), async {
        let bind = carrier.next().await.unwrap().sequence_number();
        // The answer to the bind and a receipt behind it, in one write.
        let heap = [pdu(0x8000_0009, 0, bind, b"smsc\0"), receipt(1, "early")].concat();
        carrier.raw(&heap).await;
    });
    let session = session.unwrap();
    deliveries.recv().await.unwrap().acknowledgement.durable();
    carrier.expect(CommandId::DeliverSmResp).await;

    let request = request();
    let (outcome, ()) = tokio::join!(session.submit(&request), async {
        let (sequence, _) = carrier.submit().await;
        for octet in pdu(SUBMIT_SM_RESP, 0, sequence, b"piecemeal\0") {
            carrier.raw(&[octet]).await;
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(answer(outcome), accepted("piecemeal"));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_answered_once_it_is_durable_and_not_before() {
    let (_session, mut carrier, mut deliveries) = bound(&config()).await;
    carrier.raw(&receipt(5, "a1")).await;
    let delivery = deliveries.recv().await.unwrap();
    let Event::Receipt(receipt) = &delivery.event else {
        panic!()
    };
    assert_eq!(receipt.message_id, "a1");
    assert_eq!(receipt.state.finality(), Finality::Delivered);
    carrier.expect_nothing().await;
    delivery.acknowledgement.durable();
    let answered = carrier.expect(CommandId::DeliverSmResp).await;
    assert_eq!(answered.sequence_number(), 5);
    assert_eq!(answered.status(), CommandStatus::EsmeRok);
    carrier.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_nobody_keeps_is_asked_for_again() {
    let (_session, mut carrier, mut deliveries) = bound(&config()).await;
    carrier.raw(&receipt(5, "dropped")).await;
    drop(deliveries.recv().await.unwrap());
    let answered = carrier.expect(CommandId::DeliverSmResp).await;
    assert_eq!(
        (answered.sequence_number(), answered.status().into()),
        (5, 0x64_u32)
    );

    // Eight fit into the channel; the ninth is refused at once, and nothing behind it waits.
    for sequence in 10..19 {
        carrier.raw(&receipt(sequence, "kept")).await;
    }
    let answered = carrier.expect(CommandId::DeliverSmResp).await;
    assert_eq!(
        (answered.sequence_number(), answered.status().into()),
        (18, 0x64_u32)
    );
    carrier.expect_nothing().await;

    drop(deliveries);
    for sequence in 10..18 {
        let answered = carrier.expect(CommandId::DeliverSmResp).await;
        assert_eq!(
            (answered.sequence_number(), answered.status().into()),
            (sequence, 0x64_u32)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_may_come_before_the_answer() {
    let (session, mut carrier, mut deliveries) = bound(&config()).await;
    let request = request();
    let (outcome, ()) = tokio::join!(session.submit(&request), async {
        let (sequence, _) = carrier.submit().await;
        carrier.raw(&receipt(1, "swift")).await;
        let delivery = deliveries.recv().await.unwrap();
        let Event::Receipt(receipt) = &delivery.event else {
            panic!()
        };
        assert_eq!(receipt.message_id, "swift");
        delivery.acknowledgement.durable();
        carrier.expect(CommandId::DeliverSmResp).await;
        carrier.answer(sequence, 0, "swift").await;
    });
    assert_eq!(answer(outcome), accepted("swift"));
}
