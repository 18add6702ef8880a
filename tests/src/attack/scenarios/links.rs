//! Guesses at one-time links, made up and bent, at every call that takes one: by whoever holds a
//! gateway's certificate and by whoever holds none. And invitations that were used.
//!
//! Through is: a link that nobody was given and that is open; a used one that sets a password.

use std::sync::Arc;

use anyhow::Result;
use sallyport_chassis::keyring::new_token;
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::{InspectLinkRequest, UseEnrolmentLinkRequest};

use super::Scenario;
use super::tokens::bent;
use crate::attack::Plan;
use crate::attack::person::{Session, set_password};
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Tally, volley};

/// Guesses under way.
const CALLERS: usize = 64;
/// What a link would set.
const CHOSEN: &str = "harbour lantern 88 quiet stones";

struct Attack {
    /// Of somebody invited who has not come yet: open.
    open: String,
    /// Awaits its second step.
    session: Session,
    gateway: Wires,
    nobody: Wires,
    tally: Arc<Tally>,
}

impl Attack {
    async fn guess(&self, number: u64) {
        let link_token = match number % 2 {
            0 => new_token("spl_").expose().to_owned(),
            _ => bent(&self.open, number / 2),
        };
        let wires = [&self.gateway, &self.nobody][(number / 2) as usize % 2];
        let wire = pick(wires, number / 4);
        let session = self.session.by(wire);
        match number / 4 % 4 {
            0 => {
                let answer = set_password(wire, "192.0.2.7", &link_token, CHOSEN).await;
                self.tally.judge(0, &answer);
            }
            1 => {
                let ask = session.ask(UseEnrolmentLinkRequest { link_token });
                let mut codes = CodeServiceClient::new(wire.clone());
                self.tally.judge(0, &codes.use_enrolment_link(ask).await);
            }
            _ => {
                let ask = session.bearing("").ask(InspectLinkRequest { link_token });
                let mut passwords = PasswordServiceClient::new(wire.clone());
                self.tally.judge(0, &passwords.inspect_link(ask).await);
            }
        }
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let gateway = stack.identity(Holder::Gateway, 2)?;
    let person = stack.enrolled().await?;
    let attack = Arc::new(Attack {
        open: stack.invited().await?.link_token,
        session: person.sign_in(pick(&gateway, 0)).await?,
        gateway: Arc::clone(&gateway),
        nobody: stack.identity(Holder::Nobody, 2)?,
        tally: Tally::of(1),
    });
    volley(0..Scenario::Links.part(plan, 160), CALLERS, {
        let attack = Arc::clone(&attack);
        move |number| {
            let attack = Arc::clone(&attack);
            async move {
                attack.guess(number).await;
                Ok(())
            }
        }
    })
    .await?;
    let mut outcome = Outcome::default();
    outcome.add(&attack.tally);
    outcome.never("a link nobody was given", attack.tally.accepted());
    for wire in gateway.iter() {
        let answer = set_password(wire, "192.0.2.7", &person.link_token, CHOSEN).await;
        outcome.refused("a used invitation", answer);
    }
    Ok(outcome)
}
