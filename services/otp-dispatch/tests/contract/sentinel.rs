//! Redis behind sentinels: which server is used, when it is left, and what a failover takes along.
//! Where the store forgets attempts, the count and the single use that hold are identity's:
//! `identity::second_step`, and both together: `sallyport-tests::faults`.

use std::time::Instant;

use otp_dispatch::ports::Claim;
use sallyport_chassis::Secret;
use sallyport_testkit::ReplicatedRedis;

use super::redis_only::connection;
use super::*;

async fn started() -> (ReplicatedRedis, Stores) {
    let servers = ReplicatedRedis::start().await.unwrap();
    let stores = Stores::of(open(&servers.url()).await.unwrap());
    (servers, stores)
}

/// The store has no answer; why, to the last cause.
async fn no_answer(stores: &Stores, attempt: Attempt) -> String {
    let error = stores.challenges.verify(attempt).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    format!("{:#}", anyhow::Error::from(error))
}

async fn run(url: &str, command: &str, arguments: &[&str]) {
    redis::cmd(command)
        .arg(arguments)
        .exec_async(&mut connection(url).await)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_gives_back_only_what_the_replica_has_not_heard_of() {
    let (mut servers, stores) = started().await;
    for id in ["guessed", "used", "late"] {
        stores.created(new_challenge(id, T0)).await;
    }
    for left in [4, 3] {
        let wrong = attempt("guessed", false, &format!("heard {left}"), T0);
        let verdict = stores.verified(wrong).await;
        assert_eq!(verdict, Verdict::Wrong { tries_left: left });
    }
    let verdict = stores.verified(attempt("used", true, "r1", T0)).await;
    assert_eq!(verdict, Verdict::Right);

    servers.cut_replication().await.unwrap();
    let rest = async |part: &str| {
        for left in [2, 1, 0] {
            let wrong = attempt("guessed", false, &format!("{part} {left}"), T0);
            let verdict = stores.verified(wrong).await;
            assert_eq!(verdict, Verdict::Wrong { tries_left: left }, "{part}");
        }
        let right = attempt("guessed", true, &format!("{part} right"), T0);
        assert_eq!(stores.verified(right).await, Verdict::Ended, "{part}");
    };
    rest("unheard").await;
    let verdict = stores.verified(attempt("late", true, "r1", T0)).await;
    assert_eq!(verdict, Verdict::Right);
    stores.created(new_challenge("unheard", T0)).await;

    servers.fail_over().await.unwrap();
    // Nobody answered this one, so it is refused; the next ones find the new primary by themselves.
    no_answer(&stores, attempt("used", true, "r2", T0)).await;
    let verdict = stores.decided(attempt("used", true, "r3", T0)).await;
    assert_eq!(verdict, Verdict::Used);
    // What was decided before the cut is as it was, and the rest is decided once more.
    rest("again").await;
    let verdict = stores.verified(attempt("late", true, "r2", T0)).await;
    assert_eq!(verdict, Verdict::Right);
    let verdict = stores.verified(attempt("late", true, "r3", T0)).await;
    assert_eq!(verdict, Verdict::Used);
    let verdict = stores.verified(attempt("unheard", true, "r1", T0)).await;
    assert_eq!(verdict, Verdict::NotFound);
    // A message whose challenge was lost is not sent as if it could be answered.
    let copy = message("unheard/1", Some("unheard"), T0 + MINUTE);
    let claim = stores.messages.claim(&copy, Duration::from_secs(30), T0);
    assert_eq!(claim.await.unwrap(), Claim::StateLost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_primary_attempts_are_refused_in_time() {
    let mut servers = ReplicatedRedis::start().await.unwrap();
    let bound = Duration::from_secs(1);
    let stores = Stores::of(open_within(&servers.url(), bound).await.unwrap());
    stores.created(new_challenge("c", T0)).await;
    servers.caught_up().await.unwrap();
    servers.kill_primary().await.unwrap();
    for request in ["r1", "r2", "r3"] {
        let started = Instant::now();
        no_answer(&stores, attempt("c", true, request, T0)).await;
        // The bound, and what a busy machine adds to it.
        assert!(started.elapsed() < 4 * bound, "{:?}", started.elapsed());
    }
    servers.promote().await.unwrap();
    let verdict = stores.decided(attempt("c", true, "r4", T0)).await;
    assert_eq!(verdict, Verdict::Right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_left_for_the_promoted_one() {
    let mut servers = ReplicatedRedis::start().await.unwrap();
    let bound = Duration::from_secs(1);
    let stores = Stores::of(open_within(&servers.url(), bound).await.unwrap());
    stores.created(new_challenge("c", T0)).await;
    servers.caught_up().await.unwrap();
    servers.hang_primary().await.unwrap();
    servers.promote().await.unwrap();
    // The connection to the old one stays, so only the missing answer tells.
    no_answer(&stores, attempt("c", true, "r1", T0)).await;
    let verdict = stores.decided(attempt("c", true, "r2", T0)).await;
    assert_eq!(verdict, Verdict::Right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_became_a_replica_is_left_for_the_new_one() {
    let (mut servers, stores) = started().await;
    stores.created(new_challenge("c", T0)).await;
    servers.switch_over().await.unwrap();
    // The connection is as it was, and a replica writes nothing.
    no_answer(&stores, attempt("c", true, "r1", T0)).await;
    let verdict = stores.decided(attempt("c", true, "r2", T0)).await;
    assert_eq!(verdict, Verdict::Right);
    let there = Stores::of(open(&servers.primary().url()).await.unwrap());
    let verdict = there.verified(attempt("c", true, "r3", T0)).await;
    assert_eq!(verdict, Verdict::Used, "it was decided by the new primary");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_cut_off_from_its_replica_decides_nothing() {
    let (mut servers, stores) = started().await;
    stores.created(new_challenge("c", T0)).await;
    // As docs/operations.md says.
    let primary = servers.primary().url();
    run(&primary, "CONFIG", &["SET", "min-replicas-to-write", "1"]).await;
    servers.cut_replication().await.unwrap();
    let mut admin = connection(&primary).await;
    loop {
        let info: String = redis::cmd("INFO")
            .arg("replication")
            .query_async(&mut admin)
            .await
            .unwrap();
        if info.contains("min_slaves_good_slaves:0") {
            break;
        }
        tokio::task::yield_now().await;
    }
    no_answer(&stores, attempt("c", false, "r1", T0)).await;
    no_answer(&stores, attempt("c", true, "r2", T0)).await;
    servers.fail_over().await.unwrap();
    let verdict = stores.decided(attempt("c", false, "r3", T0)).await;
    assert_eq!(verdict, Verdict::Wrong { tries_left: 4 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_that_evicts_is_not_used() {
    let (mut servers, stores) = started().await;
    stores.created(new_challenge("c", T0)).await;
    let replica = servers.replica().url();
    let policy = ["SET", "maxmemory-policy", "allkeys-lru"];
    run(&replica, "CONFIG", &policy).await;
    servers.caught_up().await.unwrap();
    servers.fail_over().await.unwrap();
    // Every attempt is refused, from the first, which finds the connection broken, to the one that is
    // told what the new primary is.
    let mut requests = 0;
    loop {
        requests += 1;
        let request = format!("r{requests}");
        let why = no_answer(&stores, attempt("c", true, &request, T0)).await;
        if why.contains("maxmemory-policy allkeys-lru") {
            break;
        }
    }
    // An operator mends it, and nothing needs a restart.
    let policy = ["SET", "maxmemory-policy", "noeviction"];
    run(&replica, "CONFIG", &policy).await;
    let verdict = stores.decided(attempt("c", true, "mended", T0)).await;
    assert_eq!(verdict, Verdict::Right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_tells_sentinels_primaries_and_replicas_apart() {
    let servers = ReplicatedRedis::start().await.unwrap();
    let sentinel = servers.sentinel_urls().remove(0);
    let (primary, replica) = (servers.primary().url(), servers.replica().url());
    let asked = primary.replace("redis://", "redis+sentinel://");
    let other = servers.url().replace("/challenges/", "/others/");
    for (url, told) in [
        (sentinel, "names a sentinel as if it were a Redis"),
        (replica, "names a replica"),
        (
            format!("{asked}/challenges"),
            "its sentinels name no primary",
        ),
        (other, "its sentinels name no primary"),
    ] {
        let error = format!("{:#}", open(&url).await.unwrap_err());
        assert!(error.contains(told), "{url}: {error}");
    }
    open(&primary).await.unwrap();
    // One sentinel that is there will do.
    let url = servers.url().replace("//", "//127.0.0.1:1,127.0.0.1:2,");
    open(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_redis_are_each_shown_their_own_credentials() {
    let servers = ReplicatedRedis::start().await.unwrap();
    let user = ["SETUSER", "portal", "on", ">p@ss/w:rd", "~*", "&*", "+@all"];
    run(&servers.primary().url(), "ACL", &user).await;
    for sentinel in servers.sentinel_urls() {
        let user = ["SETUSER", "watched", "on", ">letmein", "&*", "+@all"];
        run(&sentinel, "ACL", &user).await;
        run(
            &sentinel,
            "ACL",
            &["SETUSER", "default", "resetpass", ">secret"],
        )
        .await;
    }
    let open = async |password: &str, sentinel_user: &str, sentinel_password: &str| {
        let who = format!("//portal:{password}@");
        let config = StoreConfig {
            url: SecretUrl::new(servers.url().replace("//", &who)),
            sentinel_user: sentinel_user.to_owned(),
            sentinel_password: Secret::new(sentinel_password),
        };
        RedisStore::open(&config, PATIENCE).await
    };
    let right = "p%40ss%2Fw%3Ard";
    let store = open(right, "watched", "letmein").await.unwrap();
    let stores = Stores::of(store);
    stores.created(new_challenge("c", T0)).await;
    open(right, "", "secret").await.unwrap();
    let (one, two, three) = tokio::join!(
        open("wrong", "", "secret"),
        open(right, "", ""),
        open(right, "watched", "secret"),
    );
    for refused in [one, two, three] {
        let error = format!("{:#}", refused.unwrap_err());
        for secret in ["wrong", right, "letmein", "secret"] {
            assert!(!error.contains(secret), "{error}");
        }
        assert!(error.contains("portal:•••@"), "{error}");
    }
}
