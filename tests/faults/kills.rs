//! The dispatcher killed by SIGKILL at each step between the queue and the carrier's answer. As long
//! as no route is recorded, nothing can have been written, and the next dispatcher sends the message
//! as if nothing had happened. From then on it is in doubt: counted, told, and sent once more at most,
//! by another carrier.

use anyhow::{Result, ensure};
use sallyport_proto::identity::v1::MessageState;
use sallyport_testkit::{ForeignSmsc, Redis, SmscOptions};
use sallyport_tests::processes::{Invited, Processes};
use sallyport_tests::{code_in, codes_at, smpp_route};
use tonic::Status;

use super::gate::{Gate, Step};
use super::{NUMBER, Visitor, last_code, recovered};

/// The processes, and a user whose number is confirmed. The notice of that has arrived: no dispatcher
/// has anything in hand.
async fn at_rest(settings: &[(&str, &str)]) -> Result<(Processes, Invited, Visitor)> {
    let processes = Processes::start(settings).await?;
    let user = processes
        .organisation("killed", "admin@killed.example")
        .await?;
    let mut visitor = Visitor::new(&processes, &user)?;
    visitor.enrol(&processes, &user).await?;
    processes.smsc.wait_for(NUMBER, 2).await?;
    Ok((processes, user, visitor))
}

/// The codes in doubt that the running dispatcher has counted.
async fn doubts(processes: &Processes) -> Result<u64> {
    processes
        .metrics("sms-dispatcher")
        .await?
        .total("sms_doubt_total", "class=\"code\"")
}

/// Waits until the dispatcher has so many binds.
async fn binds(processes: &Processes, count: u64) -> Result<()> {
    recovered(async || {
        let metrics = processes.metrics("sms-dispatcher").await;
        match metrics.and_then(|metrics| metrics.total("smpp_bound", "bind=")) {
            Ok(bound) if bound == count => Ok(()),
            other => Err(Status::unavailable(format!("binds: {other:?}"))),
        }
    })
    .await
}

/// Waits until the visitor is told this of his message.
async fn told(visitor: &Visitor, wanted: impl Fn(MessageState) -> bool) -> Result<()> {
    recovered(async || match visitor.message_state().await? {
        state if wanted(state) => Ok(()),
        state => Err(Status::unavailable(format!("still {state:?}"))),
    })
    .await
}

fn handed_over(state: MessageState) -> bool {
    matches!(state, MessageState::Submitted | MessageState::Delivered)
}

/// Another dispatcher takes over. The message arrives as the last of `codes`, its code works, and
/// nothing is in doubt.
async fn arrives_once(
    processes: &mut Processes,
    visitor: &mut Visitor,
    codes: usize,
) -> Result<()> {
    processes.dispatchers[0].start_again().await?;
    let code = last_code(processes, codes).await?;
    told(visitor, handed_over).await?;
    visitor.verify(&code).await?;
    let arrived = codes_at(&processes.smsc, NUMBER, codes).await?.len();
    ensure!(arrived == codes, "{arrived} codes arrived, not {codes}");
    ensure!(doubts(processes).await? == 0, "a doubt without a reason");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_route_is_recorded_a_message_arrives_once_and_is_not_in_doubt() -> Result<()>
{
    let redis = Redis::start().await?;
    let gate = Gate::before(&redis).await?;
    let settings = [
        ("CHALLENGES__URL", gate.url()),
        // Who is stopped at a step is killed there, and does not give up by himself before.
        ("OTP__STORE_TIMEOUT_MILLISECONDS", "30000"),
        // The hour's quota must hold every message of this test.
        ("OTP__LIMITS__NUMBER__PER_HOUR", "10"),
        ("OTP__LIMITS__USER__PER_HOUR", "15"),
    ];
    let (mut processes, _, mut visitor) = at_rest(&settings).await?;

    // It had not taken the message from the queue.
    visitor.sign_in().await?;
    processes.dispatchers[0].kill9().await?;
    visitor.send_code("killed-before-1").await?;
    ensure!(visitor.message_state().await? == MessageState::Queued);
    arrives_once(&mut processes, &mut visitor, 2).await?;

    // It had taken the message from the queue, and not claimed it. Then claimed, and no route
    // recorded: the next dispatcher waits until the claim has run out.
    for (step, key, codes) in [
        (Step::Claim, "killed-taking-1", 3),
        (Step::Route, "killed-claimed-1", 4),
    ] {
        visitor.sign_in().await?;
        gate.stop_at(step);
        visitor.send_code(key).await?;
        gate.asked().await?;
        processes.dispatchers[0].kill9().await?;
        ensure!(visitor.message_state().await? == MessageState::Queued);
        arrives_once(&mut processes, &mut visitor, codes).await?;
    }

    // It had no bind to write to, and put the message back.
    processes.smsc.stop().await?;
    binds(&processes, 0).await?;
    visitor.sign_in().await?;
    gate.look_for(Step::Release);
    visitor.send_code("killed-unbound-1").await?;
    gate.asked().await?;
    processes.dispatchers[0].kill9().await?;
    ensure!(visitor.message_state().await? == MessageState::Queued);
    processes.smsc.start_again().await?;
    // What the carrier had before went with it.
    arrives_once(&mut processes, &mut visitor, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_only_carrier_owes_an_answer_one_is_in_doubt_and_who_waited_is_sent()
-> Result<()> {
    let redis = Redis::start().await?;
    let gate = Gate::before(&redis).await?;
    let (mut processes, user, mut visitor) = at_rest(&[("CHALLENGES__URL", gate.url())]).await?;
    // One message at a time, and long enough for a second one to wait behind it.
    let route = smpp_route("foreign", &processes.smsc)?;
    let slow = format!("{route}window = 1\nresponse_timeout_seconds = 20\n");
    processes.set_routes(&slow).await?;
    binds(&processes, 1).await?;
    let mut next = Visitor::new(&processes, &user)?;
    visitor.sign_in().await?;
    next.sign_in().await?;

    // One message has arrived, and nobody knows. Another one was taken and waits for its turn: it is
    // certain that it was not written.
    processes.smsc.hold_answers(true).await?;
    visitor.send_code("killed-unanswered-1").await?;
    codes_at(&processes.smsc, NUMBER, 2).await?;
    gate.look_for(Step::Claim);
    next.send_code("killed-waiting-1").await?;
    gate.asked().await?;
    processes.dispatchers[0].kill9().await?;
    processes.smsc.hold_answers(false).await?;
    processes.dispatchers[0].start_again().await?;

    let code = last_code(&processes, 3).await?;
    told(&next, handed_over).await?;
    next.verify(&code).await?;
    told(&visitor, |state| state == MessageState::OutcomeUnknown).await?;
    let counted = doubts(&processes).await?;
    ensure!(counted == 1, "{counted} doubts are counted");
    let codes = codes_at(&processes.smsc, NUMBER, 3).await?;
    ensure!(codes.len() == 3, "{} codes arrived, not 3", codes.len());
    // Who is in doubt asks again at once, and gets the code of the one that arrived: it is as good as
    // ever.
    visitor.resend_code("killed-unanswered-2").await?;
    let code = last_code(&processes, 4).await?;
    ensure!(code == code_in(&codes[1])?, "another code");
    told(&visitor, handed_over).await?;
    visitor.verify(&code).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_carrier_owes_an_answer_a_code_goes_once_to_the_next_carrier() -> Result<()>
{
    let (mut processes, _, mut visitor) = at_rest(&[]).await?;
    let second = ForeignSmsc::start(SmscOptions::default()).await?;
    let (first, next) = (
        smpp_route("foreign", &processes.smsc)?,
        smpp_route("second", &second)?,
    );
    processes
        .set_routes(&format!("{first}{next}priority = 1\n"))
        .await?;
    binds(&processes, 2).await?;

    processes.smsc.hold_answers(true).await?;
    visitor.sign_in().await?;
    visitor.send_code("killed-midway-1").await?;
    let there = codes_at(&processes.smsc, NUMBER, 2).await?;
    // Counted by the one that dies, if it was slow enough to give the answer up by itself.
    let mut counted = doubts(&processes).await?;
    processes.dispatchers[0].kill9().await?;
    processes.smsc.hold_answers(false).await?;
    processes.dispatchers[0].start_again().await?;

    let resent = codes_at(&second, NUMBER, 1).await?;
    told(&visitor, handed_over).await?;
    counted += doubts(&processes).await?;
    ensure!(counted == 1, "{counted} doubts are counted");
    ensure!(resent == there[1..], "another text was sent: {resent:?}");
    let (there, resent) = (
        codes_at(&processes.smsc, NUMBER, 2).await?,
        codes_at(&second, NUMBER, 1).await?,
    );
    ensure!(
        there.len() == 2 && resent.len() == 1,
        "{} codes at the first carrier, {} at the second",
        there.len(),
        resent.len()
    );
    visitor.verify(&code_in(&resent[0])?).await?;
    Ok(())
}
