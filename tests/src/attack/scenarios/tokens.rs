//! Session tokens that identity never gave, or gave and has ended: made up, bent in one character,
//! under another prefix, cut, grown, and those of sessions that were signed out or renewed. Over gRPC
//! at both identity processes, over the JSON API, and as the portal's cookie.
//!
//! Through is: an answer about a session.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use sallyport_chassis::keyring::new_token;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::api::Api;
use crate::attack::person::Session;
use crate::attack::report::{ACCEPTED, Outcome};
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Tally, volley};

/// Guesses under way.
const CALLERS: usize = 64;
/// Of so many guesses, one goes through the JSON API, and one through the pages.
const BY_PORTAL: u64 = 12;
/// The length of what stands before the random bits: `sps_`.
const PREFIX: usize = 4;

/// A token of the right form that is another one than the token given.
pub fn bent(token: &str, number: u64) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let random = (bytes.len() - PREFIX) as u64;
    let at = PREFIX + (number % random) as usize;
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = letters.iter().position(|letter| *letter == bytes[at]);
    let step = 1 + (number / random) as usize % (letters.len() - 1);
    bytes[at] = letters[(place.unwrap_or(0) + step) % letters.len()];
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Attack {
    /// Of a live session.
    live: String,
    /// Of sessions that have ended or were renewed.
    dead: Vec<String>,
    session: Session,
    wires: Wires,
    api: Api,
    tally: Arc<Tally>,
}

impl Attack {
    fn token(&self, number: u64) -> String {
        match number % 6 {
            0 => new_token("sps_").expose().to_owned(),
            1 | 2 => bent(&self.live, number / 6),
            3 => {
                let prefix = ["spl_", "spb_", "SPS_", "sps-"][(number / 6) as usize % 4];
                format!("{prefix}{}", &self.live[PREFIX..])
            }
            4 => {
                let cut = 8 + (number / 6) as usize % (self.live.len() - 8);
                let grown = format!("{}A", self.live);
                [&self.live[..cut], &grown][(number / 6) as usize % 2].to_owned()
            }
            _ => self.dead[(number / 6) as usize % self.dead.len()].clone(),
        }
    }

    async fn guess(&self, number: u64) -> Result<()> {
        let token = self.token(number);
        let word = match number / 6 % BY_PORTAL {
            0 => self.api.get("/session", &token).await?.word(),
            1 => {
                let status = self.api.page("/account", &token).await?;
                if status.is_success() {
                    ACCEPTED.to_owned()
                } else {
                    status.as_u16().to_string()
                }
            }
            _ => {
                let wire = pick(&self.wires, number / 6);
                let answer = self.session.by(wire).bearing(&token).who().await;
                self.tally.judge(0, &answer);
                return Ok(());
            }
        };
        self.tally.note(&word);
        Ok(())
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 4)?;
    let mut person = stack.enrolled().await?;
    let begun = person.begin(&stack.processes.smsc, pick(&wires, 0)).await?;
    let verified = begun.session.verify(&begun.code).await?;
    let signed_out = begun.session.bearing(&verified.session_token);
    signed_out.sign_out().await?;
    let attack = Arc::new(Attack {
        live: person.session.token().to_owned(),
        dead: vec![
            begun.session.token().to_owned(),
            signed_out.token().to_owned(),
        ],
        session: person.session.clone(),
        wires,
        api: Api::from(&stack.processes.portal, Ipv4Addr::new(127, 0, 4, 1))?,
        tally: Tally::of(1),
    });
    volley(0..Scenario::Tokens.part(plan, 600), CALLERS, {
        let attack = Arc::clone(&attack);
        move |number| {
            let attack = Arc::clone(&attack);
            async move { attack.guess(number).await }
        }
    })
    .await?;
    let mut outcome = Outcome::default();
    outcome.add(&attack.tally);
    outcome.never("a session by a token nobody holds", attack.tally.accepted());
    let kept_out = u64::from(!person.session.is_let_in().await);
    outcome.never("the live session ended by guesses", kept_out);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_token_has_the_form_of_one_and_is_never_the_one() {
        let token = new_token("sps_");
        for number in 0..43 * 63 {
            let bent = bent(token.expose(), number);
            assert_ne!(bent, token.expose());
            assert_eq!(bent.len(), token.expose().len());
            assert!(bent.starts_with("sps_"));
        }
    }
}
