//! Binding, answers, the window and its time-outs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::join_all;
use futures::poll;
use rusmpp::values::InterfaceVersion;
use rusmpp::{CommandId, Pdu};
use sallyport_smpp::{
    Answer, BindMode, ConnectError, EndReason, NotWritten, Session, SessionConfig, SubmitOutcome,
    UnansweredReason,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::carrier::{Carrier, SUBMIT_SM_RESP, bound, config, pdu, request, request_with};
use crate::outcome::{LONG, accepted, answer, not_written, unanswered};

#[tokio::test(start_paused = true)]
async fn binds_as_configured() {
    for (mode, id) in [
        (BindMode::Transceiver, CommandId::BindTransceiver),
        (BindMode::Transmitter, CommandId::BindTransmitter),
        (BindMode::Receiver, CommandId::BindReceiver),
    ] {
        let (ours, theirs) = tokio::io::duplex(4096);
        let mut carrier = Carrier::new(theirs);
        let config = SessionConfig {
            mode,
            system_type: "OTP".into(),
            ..config()
        };
        let (sender, _deliveries) = mpsc::channel(1);
        let (session, bind) = tokio::join!(Session::over(ours, &config, sender), carrier.bind(0));
        session.unwrap();
        assert_eq!(bind.id(), id);
        if let Some(Pdu::BindTransceiver(bind)) = bind.pdu() {
            assert_eq!(bind.system_id.as_str(), "sallyport");
            assert_eq!(bind.password.as_str(), "secret");
            assert_eq!(bind.system_type.as_str(), "OTP");
            assert_eq!(bind.interface_version, InterfaceVersion::Smpp3_4);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bind_fails_in_its_own_way() {
    async fn connect(
        carrier: impl AsyncFnOnce(Carrier<DuplexStream>),
    ) -> Result<Session, ConnectError> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (sender, _deliveries) = mpsc::channel(1);
        let config = config();
        let (session, ()) = tokio::join!(
            Session::over(ours, &config, sender),
            carrier(Carrier::new(theirs))
        );
        session
    }
    let refused = connect(async |mut carrier| drop(carrier.bind(0x0E).await)).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(0x0E))),
        "{refused:?}"
    );
    let nacked = connect(async |mut carrier| {
        let bind = carrier.next().await.unwrap();
        carrier
            .send(bind.sequence_number(), 0x03, Pdu::GenericNack)
            .await;
    })
    .await;
    assert!(
        matches!(nacked, Err(ConnectError::Refused(0x03))),
        "{nacked:?}"
    );
    let closed = connect(async |mut carrier| drop(carrier.next().await)).await;
    assert!(
        matches!(closed, Err(ConnectError::Ended(EndReason::PeerClosed))),
        "{closed:?}"
    );
    let http = connect(async |mut carrier| {
        carrier.next().await.unwrap();
        carrier.raw(b"HTTP/1.1 400 Bad Request\r\n").await;
    })
    .await;
    assert!(
        matches!(http, Err(ConnectError::Ended(EndReason::BadLength(_)))),
        "{http:?}"
    );

    let (ours, _theirs) = tokio::io::duplex(4096);
    let silent = Session::over(ours, &config(), mpsc::channel(1).0).await;
    assert!(matches!(silent, Err(ConnectError::TimedOut)), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_find_their_messages_in_any_order() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    let texts = ["one", "two", "three"];
    let requests = texts.map(request_with);
    let (outcomes, ()) = tokio::join!(
        join_all(requests.iter().map(|request| session.submit(request))),
        async {
            let mut submits = Vec::new();
            for _ in texts {
                submits.push(carrier.submit().await);
            }
            for (sequence, submit) in submits.into_iter().rev() {
                let id = submit.short_message().to_string();
                carrier.answer(sequence, 0, &id).await;
            }
        }
    );
    let ids: Vec<Answer> = outcomes.into_iter().map(answer).collect();
    assert_eq!(ids, texts.map(accepted));
}

#[tokio::test(start_paused = true)]
async fn every_form_of_answer_is_understood() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    let vendor_tlv = [&b"id\0"[..], &[0x14, 0x00, 0x00, 0x02, 1, 2]].concat();
    let torn_tlv = [&b"id\0"[..], &[0x00, 0x1D, 0xFF, 0xFF, 1]].concat();
    let long_id = "9".repeat(200);
    for (command_status, body, message_id) in [
        (0, &b""[..], None),
        (0, b"\0", None),
        (0, b"no-nul", Some("no-nul")),
        (0, b"\xE9\0", Some("é")),
        (0, long_id.as_bytes(), Some(&*long_id)),
        (0, &vendor_tlv, Some("id")),
        (0, &torn_tlv, Some("id")),
        (0x0B, b"", None),
        (0x0B, b"why\0", Some("why")),
        (0x4A1, b"\0", None),
        (u32::MAX, b"\0", None),
    ] {
        let request = request();
        let (outcome, ()) = tokio::join!(session.submit(&request), async {
            let (sequence, _) = carrier.submit().await;
            carrier
                .raw(&pdu(SUBMIT_SM_RESP, command_status, sequence, body))
                .await;
        });
        let expected = Answer {
            command_status,
            message_id: message_id.map(Into::into),
        };
        assert_eq!(answer(outcome), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_negative_acknowledgement_is_an_answer_and_never_a_success() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    for (sent, command_status) in [(0x03, 0x03), (0x00, 0xFF)] {
        let request = request();
        let (outcome, ()) = tokio::join!(session.submit(&request), async {
            let (sequence, _) = carrier.submit().await;
            carrier.send(sequence, sent, Pdu::GenericNack).await;
        });
        assert_eq!(
            answer(outcome),
            Answer {
                command_status,
                message_id: None
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_is_enforced() {
    let config = SessionConfig {
        window: 3,
        slot_timeout: LONG,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let request = request();
    let (outcomes, ()) = tokio::join!(join_all((0..10).map(|_| session.submit(&request))), async {
        let mut outstanding = Vec::new();
        for _ in 0..3 {
            outstanding.push(carrier.submit().await.0);
        }
        for _ in 3..10 {
            carrier.expect_nothing().await;
            carrier.answer(outstanding.remove(1), 0, "x").await;
            outstanding.push(carrier.submit().await.0);
        }
        carrier.expect_nothing().await;
        for sequence in outstanding {
            carrier.answer(sequence, 0, "x").await;
        }
    });
    assert!(
        outcomes
            .into_iter()
            .all(|outcome| answer(outcome) == accepted("x"))
    );
}

/// Over a socket and on several threads: no wake-up is lost, and the carrier never sees more than
/// the window. It answers in bunches, each in reverse order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_goes_through_a_window_of_ten() {
    const WINDOW: usize = 10;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let carrier = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut carrier = Carrier::new(stream);
        carrier.bind(0).await;
        let (mut outstanding, mut most, mut seen) = (Vec::new(), 0, 0);
        while seen < 1000 {
            outstanding.push(carrier.submit().await.0);
            seen += 1;
            most = most.max(outstanding.len());
            // The last bunch may be smaller than the others.
            if outstanding.len() >= 7 || seen == 1000 {
                while let Some(sequence) = outstanding.pop() {
                    carrier.answer(sequence, 0, "x").await;
                }
            }
        }
        carrier.expect(CommandId::Unbind).await;
        most
    });
    let config = SessionConfig {
        port,
        window: WINDOW,
        slot_timeout: LONG,
        ..config()
    };
    let (sender, _deliveries) = mpsc::channel(1);
    let session = Arc::new(Session::connect(&config, sender).await.unwrap());
    let submits = (0..1000).map(|_| {
        let session = Arc::clone(&session);
        tokio::spawn(async move { session.submit(&request()).await })
    });
    for outcome in join_all(submits).await {
        assert_eq!(answer(outcome.unwrap()), accepted("x"));
    }
    session.unbind(LONG).await;
    let most = carrier.await.unwrap();
    assert!((7..=WINDOW).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_time_out_frees_its_slot_and_the_answer_may_still_come() {
    let config = SessionConfig {
        window: 1,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let started = Instant::now();
    let first = session.submit(&request()).await;
    assert_eq!(started.elapsed(), config.response_timeout);
    assert_eq!(unanswered(&first), UnansweredReason::TimedOut);
    let (late, _) = carrier.submit().await;

    let request = request();
    let (second, ()) = tokio::join!(session.submit(&request), async {
        let (sequence, _) = carrier.submit().await;
        carrier.answer(sequence, 0, "second").await;
        carrier.answer(late, 0, "first").await;
    });
    assert_eq!(answer(second), accepted("second"));
    let SubmitOutcome::Unanswered(first) = first else {
        unreachable!()
    };
    assert_eq!(first.late(LONG).await, Some(accepted("first")));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_awaited_for_ever() {
    let (session, mut carrier, _deliveries) = bound(&config()).await;
    let SubmitOutcome::Unanswered(first) = session.submit(&request()).await else {
        panic!()
    };
    assert_eq!(first.late(Duration::from_secs(3)).await, None);
    // Nobody waits any more; the answer is dropped and the session lives.
    let (sequence, _) = carrier.submit().await;
    carrier.answer(sequence, 0, "too late").await;
    let SubmitOutcome::Unanswered(second) = session.submit(&request()).await else {
        panic!()
    };
    drop(carrier);
    assert_eq!(second.late(LONG).await, None);
}

#[tokio::test(start_paused = true)]
async fn many_time_outs_leak_no_slots() {
    let config = SessionConfig {
        window: 2,
        slot_timeout: LONG,
        // The carrier is mute for longer than a sign of life may take.
        enquire_link_interval: LONG,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let request = request();
    for outcome in join_all((0..50).map(|_| session.submit(&request))).await {
        assert_eq!(unanswered(&outcome), UnansweredReason::TimedOut);
    }
    for _ in 0..50 {
        carrier.submit().await;
    }
    let (outcomes, ()) = tokio::join!(join_all((0..2).map(|_| session.submit(&request))), async {
        let (first, _) = carrier.submit().await;
        let (second, _) = carrier.submit().await;
        carrier.answer(first, 0, "x").await;
        carrier.answer(second, 0, "x").await;
    });
    assert!(
        outcomes
            .into_iter()
            .all(|outcome| answer(outcome) == accepted("x"))
    );
}

#[tokio::test(start_paused = true)]
async fn no_slot_in_time_is_not_written() {
    let config = SessionConfig {
        window: 1,
        slot_timeout: Duration::from_secs(1),
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let request = request();
    let (first, second) = tokio::join!(session.submit(&request), session.submit(&request));
    assert_eq!(unanswered(&first), UnansweredReason::TimedOut);
    assert_eq!(not_written(&second), NotWritten::WindowFull);
    carrier.submit().await;
    carrier.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_submit_frees_its_slot() {
    let config = SessionConfig {
        window: 1,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    let request = request();
    let mut first = Box::pin(session.submit(&request));
    assert!(poll!(&mut first).is_pending());
    carrier.submit().await;
    drop(first);
    let (second, ()) = tokio::join!(session.submit(&request), async {
        let (sequence, _) = carrier.submit().await;
        carrier.answer(sequence, 0, "x").await;
    });
    assert_eq!(answer(second), accepted("x"));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_sends_nothing() {
    let config = SessionConfig {
        mode: BindMode::Receiver,
        ..config()
    };
    let (session, mut carrier, _deliveries) = bound(&config).await;
    assert_eq!(
        not_written(&session.submit(&request()).await),
        NotWritten::ReceiverOnly
    );
    carrier.expect_nothing().await;
}

/// Counts the writes of one end of a stream.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_out_in_one_write() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let writes = Arc::new(AtomicUsize::new(0));
    let ours = Counted {
        stream: ours,
        writes: Arc::clone(&writes),
    };
    let mut carrier = Carrier::new(theirs);
    let config = SessionConfig {
        window: 100,
        ..config()
    };
    let (sender, _deliveries) = mpsc::channel(1);
    let (session, _) = tokio::join!(Session::over(ours, &config, sender), carrier.bind(0));
    let session = session.unwrap();
    let request = request();
    let before = writes.load(Ordering::Relaxed);
    let (outcomes, ()) = tokio::join!(
        join_all((0..100).map(|_| session.submit(&request))),
        async {
            for _ in 0..100 {
                let (sequence, _) = carrier.submit().await;
                carrier.answer(sequence, 0, "x").await;
            }
        }
    );
    assert!(
        outcomes
            .into_iter()
            .all(|outcome| answer(outcome) == accepted("x"))
    );
    assert_eq!(writes.load(Ordering::Relaxed) - before, 1);
}
