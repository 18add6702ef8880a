//! The same form posted twice, as a double click does. The work runs apart from the connection,
//! since a browser drops the first request when the second is made; the second waits for it and gets
//! the same answer, with its cookies. Without this, the first click on "Verify" would replace the
//! session's token and the second would come with a token that has ended.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use crate::problem::Problem;

/// How long an answer is kept after it was asked for.
const KEPT: Duration = Duration::from_secs(10);
/// Posts under way or kept at once; beyond it the work is done on its own connection alone: a double
/// click may get an error page, and changes nothing twice all the same, by the idempotency key.
const MOST: usize = 2_000;

/// What identifies a post: a hash of cookie, path and body.
pub(crate) type Key = [u8; 32];

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    problem: Option<Problem>,
}

type Running = Shared<BoxFuture<'static, Answer>>;

/// The posts of the last seconds.
#[derive(Default)]
pub(crate) struct Twice {
    posts: Mutex<HashMap<Key, (Instant, Running)>>,
}

impl Twice {
    /// Does the work of a post, or joins the one that is under way or just done.
    pub(crate) async fn once(
        &self,
        key: Key,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        let running = self.join(key, work);
        let answer = running.await;
        // Our trouble is no answer to keep: the next try may do better.
        let failed = matches!(answer.problem, Some(Problem::Failed(_)));
        if failed || answer.status.is_server_error() {
            let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
            posts.remove(&key);
        }
        let mut response = (answer.status, Body::from(answer.body)).into_response();
        *response.headers_mut() = answer.headers;
        if let Some(problem) = answer.problem {
            response.extensions_mut().insert(problem);
        }
        response
    }

    fn join(&self, key: Key, work: impl Future<Output = Response> + Send + 'static) -> Running {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.retain(|_, (since, _)| since.elapsed() < KEPT);
        if let Some((_, running)) = posts.get(&key) {
            return running.clone();
        }
        if posts.len() >= MOST {
            return collect(work).boxed().shared();
        }
        let task = tokio::spawn(collect(work));
        let running = task
            .map(|ended| ended.unwrap_or_else(|_| failed()))
            .boxed()
            .shared();
        posts.insert(key, (Instant::now(), running.clone()));
        running
    }
}

async fn collect(work: impl Future<Output = Response>) -> Answer {
    let (parts, body) = work.await.into_parts();
    match body.collect().await {
        Ok(body) => Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
            problem: parts.extensions.get::<Problem>().cloned(),
        },
        Err(_) => failed(),
    }
}

fn failed() -> Answer {
    Answer {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        problem: Some(Problem::Failed(tonic::Code::Internal)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn text(response: Response) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_second_post_gets_the_first_ones_answer_and_the_work_is_done_once() {
        let twice = Twice::default();
        let done = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(tokio::sync::Notify::new());
        let work = || {
            let (done, gate) = (done.clone(), gate.clone());
            async move {
                gate.notified().await;
                format!("{}", done.fetch_add(1, Ordering::SeqCst)).into_response()
            }
        };
        // The first one's connection goes away before the work is done.
        drop(twice.once([1; 32], work()).now_or_never());
        gate.notify_one();
        assert_eq!(text(twice.once([1; 32], work()).await).await, "0");
        assert_eq!(text(twice.once([1; 32], work()).await).await, "0");
        gate.notify_one();
        assert_eq!(text(twice.once([2; 32], work()).await).await, "1");
    }
}
