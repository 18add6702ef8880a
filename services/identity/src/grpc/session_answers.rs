//! Answers of GetSession, kept for a second: every request to the portal asks for one.
//!
//! Within a process an answer is never older than the last call that may have changed a session. What
//! another process ends is refused here within [`LIFE`], which is what "at once" means.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::AUTHORIZATION;
use moka::sync::Cache;
use sallyport_proto::identity::v1::Session;
use tonic::service::Routes;

/// How long an answer may be given again.
const LIFE: Duration = Duration::from_secs(1);
/// How many are kept at most: some 60 MiB, which a portal with as many visitors a second can bear.
const MOST: u64 = 100_000;

/// Calls after which every answer still holds.
const CHANGE_NOTHING: &[&str] = &[
    "/sallyport.identity.v1.SignInService/GetSession",
    "/sallyport.identity.v1.SignInService/ListSessions",
    "/sallyport.identity.v1.PasswordService/InspectLink",
    "/sallyport.identity.v1.CodeService/GetChallenge",
    "/sallyport.identity.v1.CodeService/ListFactors",
    "/sallyport.identity.v1.CodeService/WatchChallenge",
    "/sallyport.identity.v1.TwoFactorService/GetTwoFactor",
    "/sallyport.identity.v1.TwoFactorService/ListBrowsers",
    "/sallyport.identity.v1.MailInboxService/ListMails",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];
/// Ends a former session where it is told of one, and changes no other.
const SIGN_IN: &str = "/sallyport.identity.v1.SignInService/SignIn";

/// The answers of one process.
pub struct SessionAnswers {
    kept: Cache<String, Kept>,
    /// Goes on with each call that may have changed a session: answers of an earlier turn are void.
    turn: AtomicU64,
}

#[derive(Clone)]
struct Kept {
    session: Arc<Session>,
    turn: Turn,
    at_ms: i64,
}

/// The turn in which a session was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u64);

impl Default for SessionAnswers {
    fn default() -> Self {
        Self {
            kept: Cache::builder()
                .max_capacity(MOST)
                .time_to_live(LIFE)
                .build(),
            turn: AtomicU64::new(0),
        }
    }
}

impl SessionAnswers {
    /// The present turn; to be taken before the session is looked up.
    pub fn turn(&self) -> Turn {
        Turn(self.turn.load(Ordering::Acquire))
    }

    /// The answer to the holder of a token with this hash, where one of this turn is young enough.
    pub fn get(&self, token_hash: &str, now_ms: i64) -> Option<Arc<Session>> {
        let kept = self.kept.get(token_hash)?;
        let age = now_ms - kept.at_ms;
        (kept.turn == self.turn() && (0..LIFE.as_millis() as i64).contains(&age))
            .then_some(kept.session)
    }

    /// Keeps what was looked up in a turn.
    pub fn keep(&self, token_hash: String, session: &Arc<Session>, turn: Turn, now_ms: i64) {
        let session = Arc::clone(session);
        let at_ms = now_ms;
        self.kept.insert(
            token_hash,
            Kept {
                session,
                turn,
                at_ms,
            },
        );
    }

    /// Voids all answers. Other than to take them out, this costs the same however many there are.
    fn void(&self) {
        self.turn.fetch_add(1, Ordering::AcqRel);
    }

    /// The routes, whose calls void the answers before they are answered, or when they are given up.
    pub fn watch(self: &Arc<Self>, routes: Routes) -> Routes {
        let watching = from_fn_with_state(Arc::clone(self), pass);
        routes.into_axum_router().layer(watching).into()
    }
}

/// Voids the answers when the call it stands for has ended, however it does.
struct Change(Arc<SessionAnswers>);

impl Drop for Change {
    fn drop(&mut self) {
        self.0.void();
    }
}

async fn pass(State(answers): State<Arc<SessionAnswers>>, call: Request, next: Next) -> Response {
    let path = call.uri().path();
    let changes = match path {
        SIGN_IN => call.headers().contains_key(AUTHORIZATION),
        _ => !CHANGE_NOTHING.contains(&path),
    };
    let _change = changes.then(|| Change(answers));
    next.run(call).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_700_000_000;

    fn ada() -> Arc<Session> {
        Arc::new(Session {
            email: "ada@example.org".to_owned(),
            ..Session::default()
        })
    }

    #[test]
    fn an_answer_is_given_again_for_a_second_and_to_its_token_alone() {
        let answers = SessionAnswers::default();
        answers.keep("a".to_owned(), &ada(), answers.turn(), NOW);
        assert_eq!(answers.get("a", NOW + 999), Some(ada()));
        assert_eq!(answers.get("a", NOW + 1_000), None);
        assert_eq!(answers.get("a", NOW - 1), None, "a clock that was set back");
        assert_eq!(answers.get("b", NOW), None);
    }

    #[test]
    fn what_was_looked_up_before_a_change_is_not_given_after_it() {
        let answers = Arc::new(SessionAnswers::default());
        let before = answers.turn();
        answers.keep("a".to_owned(), &ada(), before, NOW);
        drop(Change(Arc::clone(&answers)));
        assert_eq!(answers.get("a", NOW), None);
        answers.keep("a".to_owned(), &ada(), before, NOW);
        assert_eq!(answers.get("a", NOW), None, "the look-up had begun before");
        answers.keep("a".to_owned(), &ada(), answers.turn(), NOW);
        assert_eq!(answers.get("a", NOW), Some(ada()));
    }

    #[test]
    fn calls_that_change_nothing_are_calls_that_there_are() {
        let table = crate::grpc::callers::table();
        let ours = |path: &&&str| path.starts_with("/sallyport.");
        for path in CHANGE_NOTHING.iter().filter(ours).chain([&SIGN_IN]) {
            assert!(table.access(path).is_some(), "{path}");
        }
    }
}
