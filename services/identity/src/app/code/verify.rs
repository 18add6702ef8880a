//! One attempt. The order of its three parts is the defence: the user's count is taken first and
//! committed, then otp-api decides, then a right answer gives the count back together with its
//! effect. Whatever is lost between them leaves the attempt counted.

use sallyport_chassis::{Caller, Secret};
use sallyport_proto::otp::v1::Verdict;
use sallyport_sql::StoreError;
use uuid::Uuid;

use super::refusal::CodeRefusal;
use super::settle::{Settlement, reason, settle_right, settle_wrong};
use super::{detached, note_closed, open_to_attempts, otp};
use crate::app::App;
use crate::app::session::{SessionContext, authenticate};
use crate::domain::code_input::CodeInput;
use crate::store::challenges::{self, Challenge, Purpose};
use crate::store::second_steps;

/// The word for codes by SMS in events.
const METHOD: &str = "sms";
/// How often an attempt looks again when others of the same user come in between.
const LOOKS: usize = 5;

/// What a right code gave.
#[derive(Debug)]
pub struct Verified {
    /// What the challenge was for.
    pub purpose: Purpose,
    /// Replaces the token that the call came with.
    pub session_token: Secret,
    /// Ten codes, where this activated two-factor authentication.
    pub recovery_codes: Vec<Secret>,
    /// Where the browser is to be remembered.
    pub browser_token: Option<Secret>,
}

/// Gives the code of the session's challenge.
#[tracing::instrument(skip_all)]
pub async fn verify_code(
    app: &App,
    caller: &Caller,
    typed: &str,
    remember_browser: bool,
) -> Result<Verified, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let code = CodeInput::parse(typed).map_err(|_| CodeRefusal::Format)?;
    let challenge = challenges::of(&context.session)?.ok_or(CodeRefusal::NoChallenge)?;
    let (app, caller) = (app.clone(), caller.clone());
    detached(async move {
        let answer = attempt(&app, &caller, &context, &challenge, &code, remember_browser).await;
        count(&answer);
        answer
    })
    .await
}

/// Counts an attempt by its result.
pub(super) fn count<T>(answer: &Result<T, CodeRefusal>) {
    let result = answer.as_ref().err().map_or("right", reason);
    metrics::counter!("second_step_attempts_total", "result" => result).increment(1);
}

async fn attempt(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    challenge: &Challenge,
    code: &CodeInput,
    remember_browser: bool,
) -> Result<Verified, CodeRefusal> {
    let enrolling = challenge.purpose == Purpose::Enrolment;
    let count = match reserve(app, challenge.user_id, enrolling).await {
        Ok(count) => count,
        Err(refusal) => {
            note_closed(app, caller, &context.user, METHOD, &refusal).await;
            return Err(refusal);
        }
    };
    let settlement = Settlement {
        app,
        caller,
        context,
        method: METHOD,
        purpose: challenge.purpose,
        count,
    };
    let refusal = match otp::verify(app, caller, challenge, code).await {
        Ok((Verdict::Right, _)) => {
            return settle_right(&settlement, challenge, remember_browser).await;
        }
        Ok((Verdict::Wrong, tries_left)) => CodeRefusal::Wrong { tries_left },
        Ok((Verdict::Expired, _)) => CodeRefusal::Expired,
        Ok((Verdict::Used, _)) => CodeRefusal::Used,
        Ok((Verdict::Ended, _)) => CodeRefusal::Ended,
        Ok((Verdict::NotFound, _)) => CodeRefusal::NoChallenge,
        Ok((Verdict::Unspecified, _)) => CodeRefusal::OtpAway(Box::new(tonic::Status::internal(
            "an answer without a verdict",
        ))),
        Err(refusal) => refusal,
    };
    settle_wrong(&settlement, &refusal).await?;
    Err(refusal)
}

/// Takes one of the user's attempts, whatever factor it is made with; its place in the row of
/// failures.
pub(super) async fn reserve(app: &App, user_id: Uuid, enrolling: bool) -> Result<u32, CodeRefusal> {
    let db = app.database.connection();
    let rules = app.settings.second_step.lock_rules();
    for _ in 0..LOOKS {
        let now = app.clock.now();
        // Most refusals are known from a read, and then no write lock is asked for. What counts is
        // the conditional statement below.
        let row = second_steps::find(db, user_id)
            .await?
            .filter(|row| enrolling || row.active)
            .ok_or(CodeRefusal::NotActive)?;
        open_to_attempts(&row, enrolling, now)?;
        let reserved =
            second_steps::reserve(db, user_id, &rules, enrolling, now.as_millisecond()).await?;
        if let Some(count) = reserved {
            return Ok(count);
        }
        // Open to the read and closed to the statement: another attempt came in between. Its
        // outcome says why this one is refused, or that it is not.
    }
    let busy = "other attempts of the user came in between each time";
    Err(StoreError::Unavailable(busy.into()).into())
}
