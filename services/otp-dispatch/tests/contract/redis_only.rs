//! What concerns Redis alone: what it must be, what it is shown, and how it comes back.

use otp_dispatch::domain::limits::{DAY_MS, HOUR_MS};
use sallyport_testkit::{Port, Redis};

use super::*;

pub(super) async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    let server = Redis::start().await.unwrap();
    open(&server.url()).await.unwrap();
    let mut admin = connection(&server.url()).await;
    redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory-policy", "allkeys-lru"])
        .exec_async(&mut admin)
        .await
        .unwrap();
    let error = open(&server.url()).await.unwrap_err().to_string();
    assert!(
        error.contains("allkeys-lru") && error.contains("noeviction"),
        "{error}"
    );
}

#[tokio::test]
async fn a_cluster_is_refused() {
    let bus = Port::take().unwrap();
    let number = bus.number().to_string();
    let settings = ["--cluster-enabled", "yes", "--cluster-port", &number];
    let server = Redis::start_with(&settings).await.unwrap();
    let error = open(&server.url()).await.unwrap_err().to_string();
    assert!(error.contains("Redis Cluster"), "{error}");
}

#[tokio::test]
async fn while_redis_is_away_requests_are_refused_and_afterwards_it_knows_everything() {
    let mut server = Redis::start().await.unwrap();
    let stores = Stores::of(open(&server.url()).await.unwrap());
    stores.created(new_challenge("c", T0)).await;
    stores.verified(attempt("c", false, "r1", T0)).await;
    server.stop().await.unwrap();
    let error = stores
        .challenges
        .verify(attempt("c", true, "r2", T0))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.start_again().await.unwrap();
    // The connection is made anew and the scripts are loaded anew, without anybody's help.
    let verdict = stores.decided(attempt("c", false, "r3", T0)).await;
    assert_eq!(verdict, Verdict::Wrong { tries_left: 3 });
    let verdict = stores.verified(attempt("c", true, "r4", T0)).await;
    assert_eq!(verdict, Verdict::Right);
}

#[tokio::test]
async fn what_is_kept_goes_away_by_itself() {
    let stores = super::redis().await;
    let caps = Scope::ALL.map(|scope| cap(scope, "k", 5, 9)).to_vec();
    stores
        .created(NewChallenge {
            counted: caps,
            ..new_challenge("c", T0)
        })
        .await;
    stores
        .messages
        .receipt("a", "1", otp_dispatch::ports::ReceiptState::Delivered, T0)
        .await
        .unwrap();
    let copy = message("c/1", Some("c"), T0);
    let claim = stores
        .messages
        .claim(&copy, Duration::from_secs(30), T0)
        .await
        .unwrap();
    let otp_dispatch::ports::Claim::Send { fence } = claim else {
        panic!("{claim:?}")
    };
    let (route, carrier_id) = ("a".to_owned(), "2".to_owned());
    let settle = otp_dispatch::ports::Settle::Accepted { route, carrier_id };
    assert!(
        stores
            .messages
            .settle("c/1", fence, settle, T0)
            .await
            .unwrap()
    );

    let mut admin = connection(&stores._redis.as_ref().unwrap().url).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut admin)
        .await
        .unwrap();
    assert_eq!(keys.len(), 10, "{keys:?}");
    for key in keys {
        let ttl: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut admin)
            .await
            .unwrap();
        assert!(
            ttl > 9 * MINUTE && ttl < 26 * 60 * MINUTE,
            "{key} lives for {ttl} ms"
        );
    }
}

/// However long a place is busy, the guard keeps as much of it, and nothing of it for good.
#[tokio::test]
async fn what_the_guard_keeps_is_small_and_goes_away_by_itself() {
    let stores = super::redis().await;
    for hour in 0..16 * 24 {
        let now = T0 + hour * HOUR_MS;
        for n in 0..3 {
            let id = format!("c{hour}-{n}");
            let watch = super::guard::watch(&format!("n{n}"), &["k"]);
            let new = NewChallenge {
                guard: Some(watch),
                ..new_challenge(&id, now + n * 10 * MINUTE)
            };
            stores.created(new).await;
            let attempt = attempt(&id, true, "r", now + n * 10 * MINUTE);
            assert_eq!(stores.verified(attempt).await, Verdict::Right);
        }
    }
    let left = NewChallenge {
        guard: Some(super::guard::watch("stranger", &["k"])),
        ..new_challenge("left", T0)
    };
    stores.created(left).await;

    let mut admin = connection(&stores._redis.as_ref().unwrap().url).await;
    for (kind, count) in [("g", 2), ("v", 2), ("n", 1)] {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("sp:{kind}:*"))
            .query_async(&mut admin)
            .await
            .unwrap();
        assert_eq!(keys.len(), count, "{keys:?}");
        for key in keys {
            let ttl: i64 = redis::cmd("PTTL")
                .arg(&key)
                .query_async(&mut admin)
                .await
                .unwrap();
            assert!(
                ttl > 23 * HOUR_MS && ttl < 91 * DAY_MS,
                "{key} lives for {ttl} ms"
            );
            if kind == "v" {
                let fields: i64 = redis::cmd("HLEN")
                    .arg(&key)
                    .query_async(&mut admin)
                    .await
                    .unwrap();
                assert!(fields <= 60, "{key} has {fields} fields");
            }
        }
    }
}
