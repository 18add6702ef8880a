use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusmpp::{CommandId, Pdu};
use sallyport_smpp::{
    Bind, BindMode, BindState, ConfigError, Delivery, Event, NotWritten, SessionConfig,
    SubmitOutcome, Tls, UnansweredReason,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::carrier::{Carrier, config, receipt, request};

async fn listen(port: u16) -> (TcpListener, SessionConfig) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let quick = Duration::from_millis(10);
    let config = SessionConfig {
        port,
        reconnect_first: quick,
        reconnect_most: quick,
        ..config()
    };
    (listener, config)
}

async fn accept(listener: &TcpListener, status: u32) -> Carrier<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut carrier = Carrier::new(stream);
    carrier.bind(status).await;
    carrier
}

struct Started {
    bind: Bind,
    state: watch::Receiver<BindState>,
    deliveries: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
}

fn start(config: SessionConfig) -> Started {
    let (sender, deliveries) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let bind = Bind::start(config, sender, &stop).unwrap();
    Started {
        state: bind.state(),
        bind,
        deliveries,
        stop,
    }
}

impl Started {
    async fn until(&mut self, wanted: impl FnMut(&BindState) -> bool) -> BindState {
        *self.state.wait_for(wanted).await.unwrap()
    }

    async fn bound(&mut self) {
        self.until(|state| *state == BindState::Bound).await;
    }

    /// A message and the carrier's answer to it.
    async fn exchange<S>(&self, carrier: &mut Carrier<S>, status: u32) -> SubmitOutcome
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = request();
        let (outcome, ()) = tokio::join!(self.bind.submit(&request), async {
            let (sequence, _) = carrier.submit().await;
            carrier.answer(sequence, status, "x").await;
        });
        outcome
    }
}

fn why(outcome: &SubmitOutcome) -> NotWritten {
    match outcome {
        SubmitOutcome::NotWritten(why) => *why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn binds_submits_and_delivers() {
    let (listener, config) = listen(0).await;
    let mut started = start(config);
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let outcome = started.exchange(&mut carrier, 0).await;
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
    carrier.raw(&receipt(1, "x")).await;
    let delivery = started.deliveries.recv().await.unwrap();
    assert!(matches!(&delivery.event, Event::Receipt(receipt) if receipt.message_id == "x"));
    delivery.acknowledgement.durable();
    carrier.expect(CommandId::DeliverSmResp).await;
}

#[tokio::test]
async fn comes_back_after_the_carrier_does() {
    let (listener, config) = listen(0).await;
    let port = config.port;
    let mut started = start(config);
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;

    // The carrier goes with a message in flight: that one is in doubt, the next is free.
    drop(listener);
    let request = request();
    let (outcome, ()) = tokio::join!(started.bind.submit(&request), async {
        carrier.submit().await;
        drop(carrier);
    });
    let SubmitOutcome::Unanswered(unanswered) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(
        unanswered.reason(),
        UnansweredReason::SessionEnded(_)
    ));
    started
        .until(|state| matches!(state, BindState::Waiting(_)))
        .await;
    assert_eq!(
        why(&started.bind.submit(&request).await),
        NotWritten::NotBound
    );

    let (listener, _) = listen(port).await;
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let outcome = started.exchange(&mut carrier, 0).await;
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
}

#[tokio::test]
async fn throttling_rests_the_bind_even_over_a_new_session() {
    let (listener, config) = listen(0).await;
    let mut started = start(config);
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let before = Instant::now();
    let outcome = started.exchange(&mut carrier, 0x58).await;
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
    let paused = started
        .until(|state| matches!(state, BindState::Paused(_)))
        .await;
    let BindState::Paused(until) = paused else {
        unreachable!()
    };
    assert!(until >= before + Duration::from_secs(1));
    assert_eq!(
        why(&started.bind.submit(&request()).await),
        NotWritten::Paused
    );

    drop(carrier);
    let mut carrier = accept(&listener, 0).await;
    let again = started
        .until(|state| matches!(state, BindState::Paused(_)))
        .await;
    assert_eq!(again, BindState::Paused(until));
    assert_eq!(
        why(&started.bind.submit(&request()).await),
        NotWritten::Paused
    );

    started.bound().await;
    assert!(Instant::now() >= until);
    let outcome = started.exchange(&mut carrier, 0).await;
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
}

/// A message that waits for a slot while a rest begins does not slip through.
#[tokio::test]
async fn a_rest_holds_those_who_wait_for_a_slot() {
    let (listener, config) = listen(0).await;
    let mut started = start(SessionConfig {
        window: 1,
        ..config
    });
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let request = request();
    let (first, second, ()) = tokio::join!(
        started.bind.submit(&request),
        started.bind.submit(&request),
        async {
            let (sequence, _) = carrier.submit().await;
            carrier.answer(sequence, 0x58, "").await;
        }
    );
    assert!(matches!(first, SubmitOutcome::Answered(_)), "{first:?}");
    assert_eq!(why(&second), NotWritten::Paused);
}

#[tokio::test]
async fn what_comes_before_the_writing_waits_for_the_slot_and_may_forbid_it() {
    let (listener, config) = listen(0).await;
    let mut started = start(SessionConfig {
        window: 1,
        ..config
    });
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let request = request();
    let answered = AtomicBool::new(false);
    let mut asked = None;
    let before = async {
        asked = Some(answered.load(Ordering::SeqCst));
        false
    };
    let (first, second, ()) = tokio::join!(
        started.bind.submit(&request),
        started.bind.submit_after(&request, before),
        async {
            let (sequence, _) = carrier.submit().await;
            answered.store(true, Ordering::SeqCst);
            carrier.answer(sequence, 0, "x").await;
        }
    );
    assert!(matches!(first, SubmitOutcome::Answered(_)), "{first:?}");
    assert_eq!(why(&second), NotWritten::Withdrawn);
    assert_eq!(asked, Some(true), "before there was a slot");
}

#[tokio::test]
async fn an_answer_that_denies_the_bind_makes_a_new_one() {
    let (listener, config) = listen(0).await;
    let mut started = start(config);
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    started.exchange(&mut carrier, 0x04).await;
    let unbind = carrier.expect(CommandId::Unbind).await;
    carrier
        .send(unbind.sequence_number(), 0, Pdu::UnbindResp)
        .await;
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let outcome = started.exchange(&mut carrier, 0).await;
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
}

#[tokio::test]
async fn refused_credentials_wait_for_a_person() {
    let (listener, config) = listen(0).await;
    let before = Instant::now();
    let mut started = start(config);
    accept(&listener, 0x0E).await;
    let state = started
        .until(|state| matches!(state, BindState::Refused(..)))
        .await;
    let BindState::Refused(status, until) = state else {
        unreachable!()
    };
    assert_eq!(status, 0x0E);
    assert!(until >= before + Duration::from_secs(300));
    assert_eq!(
        why(&started.bind.submit(&request()).await),
        NotWritten::NotBound
    );
    started.bind.shutdown(Duration::ZERO).await;
    assert_eq!(*started.state.borrow(), BindState::Stopped);
}

#[tokio::test]
async fn any_other_refusal_is_tried_again() {
    let (listener, config) = listen(0).await;
    let mut started = start(config);
    accept(&listener, 0x0D).await;
    accept(&listener, 0x08).await;
    let _carrier = accept(&listener, 0).await;
    started.bound().await;
}

#[tokio::test]
async fn shutdown_waits_unbinds_and_closes() {
    let (listener, config) = listen(0).await;
    let mut started = start(config);
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let request = request();
    let (outcome, (), ()) = tokio::join!(
        started.bind.submit(&request),
        started.bind.shutdown(Duration::from_secs(60)),
        async {
            let (sequence, _) = carrier.submit().await;
            carrier.answer(sequence, 0, "x").await;
            let unbind = carrier.expect(CommandId::Unbind).await;
            carrier
                .send(unbind.sequence_number(), 0, Pdu::UnbindResp)
                .await;
            assert!(carrier.next().await.is_none(), "closed");
        }
    );
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
    assert_eq!(*started.state.borrow(), BindState::Stopped);
    assert_eq!(
        why(&started.bind.submit(&request).await),
        NotWritten::Stopping
    );
}

#[tokio::test]
async fn a_cancelled_token_and_a_dropped_handle_unbind() {
    let (listener, config) = listen(0).await;
    let mut started = start(config.clone());
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    started.stop.cancel();
    carrier.expect(CommandId::Unbind).await;
    drop(carrier);
    started.until(|state| *state == BindState::Stopped).await;

    let mut started = start(config);
    let mut carrier = accept(&listener, 0).await;
    started.bound().await;
    let other = started.bind.clone();
    drop(started.bind);
    assert!(matches!(*started.state.borrow(), BindState::Bound));
    drop(other);
    carrier.expect(CommandId::Unbind).await;
}

#[tokio::test]
async fn a_transmitter_and_a_receiver_share_a_channel() {
    let (listener, config) = listen(0).await;
    let (sender, mut deliveries) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let transmitter = SessionConfig {
        mode: BindMode::Transmitter,
        ..config.clone()
    };
    let transmitter = Bind::start(transmitter, sender.clone(), &stop).unwrap();
    let mut sends = accept(&listener, 0).await;
    let receiver = SessionConfig {
        mode: BindMode::Receiver,
        ..config
    };
    let receiver = Bind::start(receiver, sender, &stop).unwrap();
    let mut delivers = accept(&listener, 0).await;
    for bind in [&transmitter, &receiver] {
        bind.state()
            .wait_for(|state| *state == BindState::Bound)
            .await
            .unwrap();
    }
    let request = request();
    let (outcome, ()) = tokio::join!(transmitter.submit(&request), async {
        let (sequence, _) = sends.submit().await;
        sends.answer(sequence, 0, "x").await;
    });
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
    delivers.raw(&receipt(1, "x")).await;
    deliveries.recv().await.unwrap().acknowledgement.durable();
    delivers.expect(CommandId::DeliverSmResp).await;
    assert_eq!(
        why(&receiver.submit(&request).await),
        NotWritten::ReceiverOnly
    );
}

#[tokio::test]
async fn a_faulty_configuration_is_refused_before_anything_is_tried() {
    let config = SessionConfig {
        window: 0,
        ..config()
    };
    let (sender, _deliveries) = mpsc::channel(1);
    let refused = Bind::start(config, sender, &CancellationToken::new());
    assert_eq!(refused.err(), Some(ConfigError::Bounds("window")));
}

#[tokio::test]
async fn tls_is_spoken_and_only_the_right_name_is_believed() {
    let made = rcgen::generate_simple_self_signed(vec!["smsc.example".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (listener, config) = listen(0).await;
    let tls = Tls::trusting(made.cert.pem().as_bytes()).unwrap();

    // Reached by address, the certificate does not fit.
    let wrong = SessionConfig {
        tls: Some(tls.clone()),
        ..config.clone()
    };
    let mut started = start(wrong);
    let (stream, _) = listener.accept().await.unwrap();
    assert!(acceptor.accept(stream).await.is_err());
    started
        .until(|state| matches!(state, BindState::Waiting(_)))
        .await;
    started.bind.shutdown(Duration::ZERO).await;

    let right = SessionConfig {
        tls: Some(tls.server_name("smsc.example")),
        ..config
    };
    let mut started = start(right);
    // The first bind may have knocked once more before it was shut down.
    let mut carrier = loop {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(stream) = acceptor.accept(stream).await {
            break Carrier::new(stream);
        }
    };
    carrier.bind(0).await;
    started.bound().await;
    let outcome = started.exchange(&mut carrier, 0).await;
    assert!(matches!(outcome, SubmitOutcome::Answered(_)), "{outcome:?}");
    let (_, ()) = tokio::join!(started.bind.shutdown(Duration::ZERO), async {
        let unbind = carrier.expect(CommandId::Unbind).await;
        carrier
            .send(unbind.sequence_number(), 0, Pdu::UnbindResp)
            .await;
        assert!(carrier.next().await.is_none(), "close_notify came");
    });
}
