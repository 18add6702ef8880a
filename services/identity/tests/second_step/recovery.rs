//! Recovery codes.

use sallyport_proto::identity::v1::SessionStage;
use sallyport_proto::otp::v1::Notice;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::task::JoinSet;

use crate::world::{NUMBER, WRONG, World, refusal, refused};

on_both_databases!(
    codes_are_read_forgivingly_and_used_once,
    a_code_given_many_times_at_once_works_once,
    an_hour_takes_ten_wrong_codes,
    the_lock_does_not_keep_recovery_codes_out,
    a_recovery_code_is_a_fresh_second_factor,
    new_codes_end_the_old,
    codes_of_an_older_lookup_key_still_work,
    no_recovery_code_lies_in_the_store,
);

/// A code of the right form that is nobody's: another user's.
async fn foreign_codes(world: &World) -> Vec<String> {
    world.enrolled("stranger").await.2
}

async fn codes_are_read_forgivingly_and_used_once(world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    let typed = [
        codes[0].to_lowercase(),
        codes[1].replace('-', " "),
        codes[2].replace('-', ""),
        codes[3].replace('0', "o").replace('1', "l"),
    ];
    for (used, typed) in typed.iter().enumerate() {
        let mut session = world.awaiting(&user).await;
        let sent = world.otp.newest_code(NUMBER);
        assert_eq!(
            session.recover(typed).await.unwrap(),
            9 - used as u32,
            "{typed}"
        );
        let who = session.who().await.unwrap();
        assert_eq!((who.stage(), who.assurance), (SessionStage::SignedIn, 2));
        assert!(who.second_factor_at.is_some());
        assert_eq!(refused(session.verify(&sent).await), "code.none");
    }
    let mut session = world.sign_in(&user).await;
    for typed in &typed {
        assert_eq!(refused(session.recover(typed).await), "recovery_code.wrong");
    }
    let used = world.log.wait_for("recovery_code_used", 4).await;
    assert_eq!(used[3].details["left"], "6");
    let notices = world.otp.notices(5).await;
    assert_eq!(notices[1], (Notice::RecoveryCodeUsed, NUMBER.to_owned()));
    world.end().await;
}

async fn a_code_given_many_times_at_once_works_once(world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    let mut tries = JoinSet::new();
    for _ in 0..8 {
        let (mut session, code) = (world.sign_in(&user).await, codes[0].clone());
        tries.spawn(async move { session.recover(&code).await.is_ok() });
    }
    let done = tries.join_all().await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 1);
    let mut session = world.sign_in(&user).await;
    assert_eq!(session.recover(&codes[1]).await.unwrap(), 8);
    world.end().await;
}

async fn an_hour_takes_ten_wrong_codes(world: World) {
    let foreign = foreign_codes(&world).await;
    let (user, _, codes) = world.enrolled("ada").await;
    let mut session = world.sign_in(&user).await;
    // A slip of the pen is told from a guess.
    for typed in [
        "",
        "123456",
        "0000-0000-0000-0000-0000-0000",
        &codes[0][1..],
    ] {
        assert_eq!(refused(session.recover(typed).await), "recovery_code.wrong");
    }
    assert_eq!(world.step(&user).await.recovery_tries, 0);
    world.advance_minutes(30);
    let mut tries = JoinSet::new();
    for guess in 0..40 {
        let (mut session, code) = (session.clone(), foreign[guess % 10].clone());
        tries.spawn(async move { refused(session.recover(&code).await) });
    }
    let answers = tries.join_all().await;
    let wrong = answers
        .iter()
        .filter(|reason| *reason == "recovery_code.wrong")
        .count();
    assert_eq!(wrong, 10, "{answers:?}");
    let limit = refusal(session.recover(&codes[0]).await);
    assert_eq!(limit.reason, "recovery_code.limit");
    assert_eq!(limit.retry_after.unwrap().as_secs(), 3600);
    assert_eq!(world.step(&user).await.failures, 0, "a count of its own");
    // The SMS code is not shut out by it.
    world.signed_in_twice(&user, NUMBER).await;
    world.advance_seconds(3599);
    let mut session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.recover(&codes[0]).await),
        "recovery_code.limit"
    );
    world.advance_seconds(1);
    assert_eq!(session.recover(&codes[0]).await.unwrap(), 9);
    assert_eq!(world.step(&user).await.recovery_tries, 0);
    world.log.wait_for("authn_second_factor_fail", 10).await;
    world.end().await;
}

async fn the_lock_does_not_keep_recovery_codes_out(world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    world.otp.set_tries(1000);
    let mut session = world.awaiting(&user).await;
    for _ in 0..15 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    assert_eq!(refused(session.verify(WRONG).await), "second_factor.locked");
    session.recover(&codes[0]).await.unwrap();
    assert_eq!(
        world.step(&user).await.failures,
        0,
        "a success of the second step"
    );
    world.signed_in_twice(&user, NUMBER).await;
    world.end().await;
}

async fn a_recovery_code_is_a_fresh_second_factor(world: World) {
    let (_, mut session, codes) = world.enrolled("ada").await;
    world.advance_minutes(6);
    session.confirm_password().await;
    assert_eq!(refused(session.disable().await), "step_up_required");
    session.send_step_up().await.unwrap();
    session.recover(&codes[0]).await.unwrap();
    session.disable().await.unwrap();
    assert_eq!(
        refused(session.send_step_up().await),
        "two_factor.not_active"
    );
    world.end().await;
}

async fn new_codes_end_the_old(world: World) {
    let (user, session, codes) = world.enrolled("ada").await;
    let new = session.remake_codes().await.unwrap();
    assert_eq!(new.len(), 10);
    assert!(new.iter().all(|code| !codes.contains(code)));
    let mut at_sign_in = world.sign_in(&user).await;
    assert_eq!(
        refused(at_sign_in.recover(&codes[0]).await),
        "recovery_code.wrong"
    );
    assert_eq!(at_sign_in.recover(&new[9]).await.unwrap(), 9);

    // Two remakes at once leave one set.
    let mut remakes = JoinSet::new();
    for _ in 0..6 {
        let session = session.clone();
        remakes.spawn(async move { session.remake_codes().await.is_ok() });
    }
    assert!(remakes.join_all().await.into_iter().all(|ok| ok));
    let left = session
        .two_factor_state()
        .await
        .unwrap()
        .recovery_codes_left;
    assert_eq!(left, 10);
    world.end().await;
}

async fn codes_of_an_older_lookup_key_still_work(mut world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    let ring = world.folder.path().join("keys/lookup.keys");
    let old = std::fs::read_to_string(&ring).unwrap();
    let new = format!("k2 {}\n{old}", "A".repeat(43));
    std::fs::write(&ring, new).unwrap();
    world.restart().await;
    let mut session = world.awaiting(&user).await;
    assert_eq!(session.recover(&codes[0]).await.unwrap(), 9);
    let again = refused(session.recover(&codes[0]).await);
    assert_eq!(again, "recovery_code.wrong", "used under any key");

    // A new set is the new key's, and ends that of the old one.
    let new = session.remake_codes().await.unwrap();
    let of_the_new_key = "recovery_codes WHERE used_at IS NULL AND lookup LIKE 'k2.%'";
    assert_eq!(world.rows(of_the_new_key).await, 10);
    let ended = refused(session.recover(&codes[1]).await);
    assert_eq!(ended, "recovery_code.wrong");
    assert_eq!(session.recover(&new[0]).await.unwrap(), 9);
    world.end().await;
}

/// Case and what separates groups do not matter in a code, so they are left out of what is searched.
fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    text.replace(|c: char| c == '-' || c.is_whitespace(), "")
}

/// Keeps what is put into the outbox also when it has left.
pub async fn keep_the_outbox(world: &World) {
    let statements: &[&str] = match world.database.backend() {
        DbBackend::Postgres => &[
            "CREATE TABLE kept (payload BYTEA)",
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO kept VALUES (NEW.payload); RETURN NULL; END $$",
            "CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep()",
        ],
        _ => &[
            "CREATE TABLE kept (payload BLOB)",
            "CREATE TRIGGER keep AFTER INSERT ON outbox \
             BEGIN INSERT INTO kept VALUES (NEW.payload); END",
        ],
    };
    for statement in statements {
        let connection = world.database.connection();
        connection.execute_unprepared(statement).await.unwrap();
    }
}

/// Every value of every column of every table, in plain spelling.
pub async fn everything_stored(world: &World) -> Vec<String> {
    let backend = world.database.backend();
    let connection = world.database.connection();
    // Columns are read as the hexadecimal form of their bytes, or of those of their text.
    let columns = match backend {
        DbBackend::Postgres => {
            "SELECT table_name::text AS name, CASE data_type \
             WHEN 'bytea' THEN format('encode(%I, ''hex'')', column_name) \
             ELSE format('encode(convert_to(%I::text, ''UTF8''), ''hex'')', column_name) \
             END AS bytes FROM information_schema.columns WHERE table_schema = current_schema()"
        }
        _ => {
            "SELECT m.name AS name, 'hex(\"' || p.name || '\")' AS bytes \
             FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
        }
    };
    let columns = Statement::from_string(backend, columns);
    let mut values = Vec::new();
    for column in connection.query_all_raw(columns).await.unwrap() {
        let table: String = column.try_get("", "name").unwrap();
        let bytes: String = column.try_get("", "bytes").unwrap();
        let rows = format!("SELECT {bytes} AS value FROM \"{table}\"");
        let rows = Statement::from_string(backend, rows);
        for row in connection.query_all_raw(rows).await.unwrap() {
            let value: Option<String> = row.try_get("", "value").unwrap();
            let bytes = hex::decode(value.unwrap_or_default()).unwrap();
            values.push(plain(&String::from_utf8_lossy(&bytes)));
        }
    }
    values
}

async fn no_recovery_code_lies_in_the_store(world: World) {
    let user = world.user("ada").await;
    keep_the_outbox(&world).await;
    let mut session = world.sign_in(&user).await;
    let mut codes = session.enrol(&world.otp, NUMBER).await;
    session.recover(&codes[0]).await.unwrap();
    codes.extend(session.remake_codes().await.unwrap());
    assert_eq!(codes.len(), 20);

    let stored = everything_stored(&world).await;
    let holds = |text: &str| stored.iter().any(|value| value.contains(&plain(text)));
    // What does lie there is found: in columns of text, and in what was put into the outbox.
    for text in [user.email.as_str(), NUMBER, "recovery_codes_remade"] {
        assert!(holds(text), "{text}");
    }
    for code in &codes {
        assert!(!holds(code));
    }
    // Ten of the new set and the used one of the old, as keyed hashes.
    let keyed = "recovery_codes WHERE lookup LIKE 'k1.%'";
    assert_eq!(world.rows(keyed).await, 11);
    assert_eq!(world.rows("recovery_codes").await, 11);
    world.end().await;
}
