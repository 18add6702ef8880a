//! Live news of a challenge (rule 24).

use otp_dispatch::ports::ReceiptState;
use tonic::Streaming;

use super::*;

async fn watch(
    service: &Service,
    id: &str,
) -> Result<Streaming<pb::WatchChallengeResponse>, Status> {
    let request = pb::WatchChallengeRequest {
        challenge_id: id.to_owned(),
        binding: Some(binding()),
    };
    Ok(service
        .challenges()
        .watch_challenge(request)
        .await?
        .into_inner())
}

async fn state(stream: &mut Streaming<pb::WatchChallengeResponse>) -> Option<pb::MessageState> {
    let news = stream.message().await.unwrap()?;
    Some(news.challenge.unwrap().message_state())
}

#[tokio::test]
async fn every_change_is_told_until_the_challenge_ends() {
    let mut service = Service::start(&[]).await;
    let challenge = service.create(create("key-1")).await.unwrap();
    let mut stream = watch(&service, &challenge.challenge_id).await.unwrap();
    assert_eq!(state(&mut stream).await, Some(pb::MessageState::Queued));
    let sms = service.phone.next().await;
    assert_eq!(state(&mut stream).await, Some(pb::MessageState::Submitted));
    let (store, now) = (&service.backends.messages, service.clock.now_ms());
    let carrier_id = &sms.message.message_id;
    store
        .receipt("phone", carrier_id, ReceiptState::Delivered, now)
        .await
        .unwrap();
    assert_eq!(state(&mut stream).await, Some(pb::MessageState::Delivered));
    service
        .verify(&challenge.challenge_id, &sms.code(), "request-1")
        .await;
    assert_eq!(state(&mut stream).await, Some(pb::MessageState::Delivered));
    assert_eq!(state(&mut stream).await, None);
    service.end().await;
}

#[tokio::test]
async fn readers_are_limited_and_their_places_come_back() {
    let service = Service::start(&[("OTP__WATCH_STREAMS", "1")]).await;
    let id = service.create(create("key-1")).await.unwrap().challenge_id;
    let status = watch(&service, "k1.AAAAAAAAAAAAAAAAAAAAAA")
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::NotFound, "code.none".to_owned()));
    let mut stream = watch(&service, &id).await.unwrap();
    state(&mut stream).await;
    let status = watch(&service, &id).await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::ResourceExhausted, "watch.busy".to_owned())
    );
    drop(stream);
    // The server hears of the reader's leaving when it does.
    loop {
        match watch(&service, &id).await {
            Ok(_) => break,
            Err(status) => assert_eq!(refusal(&status).1, "watch.busy"),
        }
    }
    service.end().await;
}

#[tokio::test]
async fn readers_do_not_keep_the_process_from_ending() {
    let service = Service::start(&[]).await;
    let id = service.create(create("key-1")).await.unwrap().challenge_id;
    let mut stream = watch(&service, &id).await.unwrap();
    state(&mut stream).await;
    service.end().await;
    assert_eq!(state(&mut stream).await, None);
}
