//! Two processes of otp-api over one Redis.

use tokio::task::JoinSet;

use super::*;

type Client = ChallengeServiceClient<Outgoing>;

/// Another process over the same servers and keys, with connections of its own.
async fn beside(service: &Service) -> (Client, CancellationToken, JoinHandle<anyhow::Result<()>>) {
    let clock: Arc<dyn Clock> = Arc::new(service.clock.clone());
    let backends = Backends::open(&service.config, Arc::clone(&clock))
        .await
        .unwrap();
    let (dialler, listener) = Listener::memory();
    let stop = CancellationToken::new();
    let run = run_api(
        service.config.clone(),
        backends,
        listener,
        clock,
        stop.clone(),
    );
    let client = Client::new(dialler.channel(Peer::service("identity")));
    (client, stop, tokio::spawn(run))
}

/// The verdicts on sixty attempts at the same instant, half of them at each.
async fn verdicts(both: &[Client; 2], id: &str, code: &str) -> Vec<pb::Verdict> {
    let mut attempts = JoinSet::new();
    for n in 0..60 {
        let mut client = both[n % 2].clone();
        let request = verify(id, code, &format!("request-{n}"));
        attempts.spawn(async move {
            let answer = client.verify_challenge(request).await.unwrap();
            answer.into_inner().verdict()
        });
    }
    attempts.join_all().await
}

fn count(verdicts: &[pb::Verdict], verdict: pb::Verdict) -> usize {
    verdicts.iter().filter(|one| **one == verdict).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_tries_uses_and_caps() {
    let redis = sallyport_testkit::redis().await.unwrap();
    let mut service = Service::start(&[
        ("CHALLENGES__URL", redis.url.as_str()),
        // What a busy machine is late with is not what this is about.
        ("OTP__STORE_TIMEOUT_MILLISECONDS", "10000"),
    ])
    .await;
    let (other, stop, task) = beside(&service).await;
    let both = [service.challenges(), other];

    let guessed = service.create(create("key-1")).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    let answers = verdicts(&both, &guessed, &wrong(&code)).await;
    assert_eq!(count(&answers, pb::Verdict::Wrong), 5);
    assert_eq!(count(&answers, pb::Verdict::Ended), 55);
    let late = service.verify(&guessed, &code, "late").await;
    assert_eq!(late.0, pb::Verdict::Ended);

    let used = service.create(create("key-2")).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    let answers = verdicts(&both, &used, &code).await;
    assert_eq!(count(&answers, pb::Verdict::Right), 1);
    assert_eq!(count(&answers, pb::Verdict::Used), 59);

    // Five codes an hour to one number of one owner: three are left.
    let mut sends = JoinSet::new();
    for n in 3..33 {
        let mut client = both[n % 2].clone();
        let request = create(&format!("key-{n}"));
        sends.spawn(async move { client.create_challenge(request).await.map(drop) });
    }
    let mut sent = 0;
    for answer in sends.join_all().await {
        match answer {
            Ok(()) => sent += 1,
            Err(status) => assert_eq!(refusal(&status).1, "sms.quota"),
        }
    }
    assert_eq!(sent, 3);
    stop.cancel();
    task.await.unwrap().unwrap();
    service.end().await;
}
