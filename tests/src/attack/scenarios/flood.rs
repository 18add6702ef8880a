//! Codes asked for without end: to one number, by one user, from one address, to one number block and
//! to one country, over two otp-api processes, while somebody in another country switches
//! two-factor authentication on.
//!
//! Harsh: the attacker drives otp-api with identity's certificate, so that users, addresses and numbers
//! are his to make up.
//!
//! Through is: a message at the carrier beyond a cap of an hour; and somebody in the other country who
//! is refused a code. Messages are counted where they arrive.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::{Binding, CreateChallengeRequest, Purpose};
use tonic::Status;

use crate::attack::Plan;
use crate::attack::person::fresh_key;
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, pick};
use crate::attack::tally::{Tally, volley};

/// Requests under way.
const CALLERS: usize = 32;
/// Codes that somebody elsewhere asks for during each flood.
const ELSEWHERE: u64 = 4;
/// How long the last message may take to the carrier.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at it.
const PACE: Duration = Duration::from_millis(200);
/// Numbers of one block differ in their last four digits.
const BLOCK: u64 = 10_000;

/// A flood towards one cap. Everything but what that cap counts is another one each time, and each
/// flood has a country of its own.
struct Flood {
    what: &'static str,
    /// Messages in an hour.
    cap: u64,
    requests: u64,
    least: u64,
    /// Of a request: the user, the address and the number.
    ask: fn(u64) -> Ask,
}

struct Ask {
    user: String,
    address: Ipv4Addr,
    number: String,
}

/// What no cap has seen yet, for request `n` of a flood that begins at `from`.
fn fresh(from: u32, n: u64) -> (String, Ipv4Addr) {
    let address = Ipv4Addr::from_bits((from << 24) + n as u32 * 3 + 1);
    (format!("flood-{from}-{n}"), address)
}

const FLOODS: [Flood; 5] = [
    Flood {
        what: "a message beyond a number's cap",
        cap: 5,
        requests: 200,
        least: 50,
        ask: |n| {
            let (user, address) = fresh(21, n);
            let number = "+31612345678".to_owned();
            Ask {
                user,
                address,
                number,
            }
        },
    },
    Flood {
        what: "a message beyond a user's cap",
        cap: 6,
        requests: 200,
        least: 50,
        ask: |n| {
            let (_, address) = fresh(22, n);
            let number = format!("+346{:08}", n * BLOCK);
            let user = "flood-22".to_owned();
            Ask {
                user,
                address,
                number,
            }
        },
    },
    Flood {
        what: "a message beyond an address's cap",
        cap: 30,
        requests: 400,
        least: 100,
        ask: |n| {
            let (user, _) = fresh(23, n);
            let number = format!("+49151{:08}", n * BLOCK);
            let address = Ipv4Addr::new(23, 0, 0, 1);
            Ask {
                user,
                address,
                number,
            }
        },
    },
    Flood {
        what: "a message beyond a block's cap",
        cap: 50,
        requests: 600,
        least: 150,
        ask: |n| {
            let (user, address) = fresh(24, n);
            let number = format!("+39331000{:04}", n % BLOCK);
            Ask {
                user,
                address,
                number,
            }
        },
    },
    Flood {
        what: "a message beyond a country's cap",
        cap: 1_000,
        requests: 10_000,
        least: 1_500,
        ask: |n| {
            let (user, address) = fresh(25, n);
            // Forty blocks: fifty each would be twice what the country may have.
            let number = format!("+44740{:03}{:04}", n % 40, n / 40 % BLOCK);
            Ask {
                user,
                address,
                number,
            }
        },
    },
];

/// Asks for the code of an enrolment that counts by every cap.
async fn ask(wire: &Outgoing, ask: Ask) -> Result<(), Status> {
    let request = CreateChallengeRequest {
        binding: Some(Binding {
            purpose: Purpose::Enrolment.into(),
            session_id: format!("session-{}", ask.user),
            user_id: ask.user,
            number: ask.number,
        }),
        idempotency_key: fresh_key(),
        locale: "en".to_owned(),
        organisation_id: String::new(),
        client_ip: ask.address.to_string(),
        trusted: false,
    };
    ChallengeServiceClient::new(wire.clone())
        .create_challenge(request)
        .await
        .map(drop)
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.otp(Holder::Identity, 2)?;
    let mut outcome = Outcome::default();
    for (number, flood) in (0..).zip(FLOODS) {
        let requests = plan.part(flood.requests, flood.least);
        let tally = Tally::of(1);
        let storm = tokio::spawn(volley(0..requests, CALLERS, {
            let (wires, tally) = (Arc::clone(&wires), Arc::clone(&tally));
            move |number| {
                let (wires, tally) = (Arc::clone(&wires), Arc::clone(&tally));
                async move {
                    let answer = ask(pick(&wires, number), (flood.ask)(number)).await;
                    tally.judge(0, &answer);
                    Ok(())
                }
            }
        }));
        for person in 0..ELSEWHERE {
            let (user, address) = fresh(30, number * ELSEWHERE + person);
            let phone = format!("+1438402{:04}", number * ELSEWHERE + person);
            let asked = Ask {
                user,
                address,
                number: phone,
            };
            let kept_out = ask(pick(&wires, person), asked).await.is_err();
            outcome.never("a code refused in another country", u64::from(kept_out));
        }
        storm.await??;
        outcome.add(&tally);
        let numbers = (0..requests).map(|n| (flood.ask)(n).number).collect();
        let arrived = arrived(stack, &numbers, tally.accepted()).await?;
        outcome.figure(&format!("arrived: {}", flood.what), arrived);
        outcome.beyond(flood.what, arrived, flood.cap);
    }
    Ok(outcome)
}

/// Waits until so many messages have arrived at these numbers, and counts them.
async fn arrived(stack: &Stack, numbers: &BTreeSet<String>, accepted: u64) -> Result<u64> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let counts = stack.processes.smsc.counts().await?;
        let counts = numbers.iter().filter_map(|number| counts.get(number));
        let arrived: u64 = counts.sum();
        if arrived >= accepted {
            return Ok(arrived);
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{arrived} messages of {accepted} have arrived"
        );
        tokio::time::sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flood_fills_its_own_cap_alone() {
        for (place, flood) in FLOODS.iter().enumerate() {
            let asks: Vec<Ask> = (0..flood.least).map(flood.ask).collect();
            let different = |of: fn(&Ask) -> String| asks.iter().map(of).collect::<BTreeSet<_>>();
            let numbers = different(|ask| ask.number.clone()).len();
            let users = different(|ask| ask.user.clone()).len();
            let addresses = different(|ask| ask.address.to_string()).len();
            let blocks = different(|ask| ask.number[..ask.number.len() - 4].to_owned()).len();
            let all = asks.len();
            let expected = match place {
                0 => [1, all, all, 1],
                1 => [all, 1, all, all],
                2 => [all, all, 1, all],
                3 => [all, all, all, 1],
                _ => [all, all, all, 40],
            };
            assert_eq!(
                [numbers, users, addresses, blocks],
                expected,
                "{}",
                flood.what
            );
        }
    }
}
