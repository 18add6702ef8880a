//! What was given for one session, purpose or user, given for another; and what was used, given again.
//!
//! Harsh: the attacker holds codes, tokens, recovery codes and links of both people, and a gateway's
//! certificate.
//!
//! Through is: anything of it that is accepted; a remembered browser of somebody else that skips the
//! code.

use anyhow::{Context, Result};
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::identity::v1::SessionStage;
use sallyport_testkit::ForeignSmsc;

use crate::attack::Plan;
use crate::attack::person::{Begun, PASSWORD, Person, Session, set_password, sign_in};
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, pick};

/// Pairs of people.
const ROUNDS: u64 = 20;

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 1)?;
    let mut outcome = Outcome::default();
    for _ in 0..plan.part(ROUNDS, 2) {
        let (ada, eve) = (stack.enrolled().await?, stack.enrolled().await?);
        let mut round = Round {
            smsc: &stack.processes.smsc,
            wires: &wires,
            ada,
            eve,
            outcome: &mut outcome,
        };
        round.codes().await?;
        round.purposes().await?;
        round.tokens().await?;
        round.rest().await?;
    }
    Ok(outcome)
}

struct Round<'a> {
    smsc: &'a ForeignSmsc,
    /// To two processes: what one has seen, the other knows.
    wires: &'a [Outgoing],
    ada: Person,
    eve: Person,
    outcome: &'a mut Outcome,
}

impl Round<'_> {
    /// A session of the first of the two that awaits its second step.
    async fn begin(&mut self) -> Result<Begun> {
        self.ada.begin(self.smsc, pick(self.wires, 0)).await
    }

    /// Gives a code where it does not belong, by the other process. Of a million pairs of codes one is
    /// the same, and then there is nothing to replay.
    async fn give(&mut self, what: &str, code: &str, session: &Session, own: &str) {
        if code != own {
            let session = session.by(pick(self.wires, 1));
            self.outcome.refused(what, session.verify(code).await);
        }
    }

    /// Across sessions and users, after a newer code and after Cancel.
    async fn codes(&mut self) -> Result<()> {
        let (first, second) = (self.begin().await?, self.begin().await?);
        let hers = self.eve.begin(self.smsc, pick(self.wires, 0)).await?;
        for (what, code, to) in [
            ("a code of another session", &first, &second),
            ("a code of another user", &first, &hers),
            ("a code of another user", &hers, &first),
        ] {
            self.give(what, &code.code, &to.session, &to.code).await;
        }
        second.session.send_code().await.context("a newer code")?;
        let newer = self.ada.newest_code(self.smsc).await?;
        self.give("an older code", &second.code, &second.session, &newer)
            .await;
        second.session.cancel().await?;
        self.give("a cancelled code", &newer, &second.session, "")
            .await;
        Ok(())
    }

    /// A code of a sign-in as a step-up, and the other way round.
    async fn purposes(&mut self) -> Result<()> {
        let awaiting = self.begin().await?;
        let signed_in = self.ada.session.clone();
        signed_in.send_step_up_code().await.context("the step-up")?;
        let step_up = self.ada.newest_code(self.smsc).await?;
        self.give(
            "a sign-in's code as a step-up",
            &awaiting.code,
            &signed_in,
            &step_up,
        )
        .await;
        self.give(
            "a step-up's code at sign-in",
            &step_up,
            &awaiting.session,
            &awaiting.code,
        )
        .await;
        Ok(())
    }

    /// A used code, the token that it replaced, and that of a session that was signed out.
    async fn tokens(&mut self) -> Result<()> {
        let begun = self.begin().await?;
        let verified = begun.session.verify(&begun.code).await?;
        let session = begun.session.bearing(&verified.session_token);
        self.give("a used code", &begun.code, &session, "").await;
        self.give(
            "a used code by the old token",
            &begun.code,
            &begun.session,
            "",
        )
        .await;
        let old = begun.session.by(pick(self.wires, 1));
        self.outcome.refused("an old token", old.who().await);
        session.sign_out().await?;
        let ended = session.by(pick(self.wires, 1));
        self.outcome
            .refused("a signed-out token", ended.who().await);
        Ok(())
    }

    /// Browsers, recovery codes and links.
    async fn rest(&mut self) -> Result<()> {
        let begun = self.begin().await?;
        let verified = begun.session.verify_in(&begun.code, true).await?;
        let browser = verified.browser_token;
        let (wire, eve) = (pick(self.wires, 1), &self.eve);
        let signed_in = sign_in(wire, &eve.client_ip, &eve.email, PASSWORD, &browser).await;
        let (hers, stage) = signed_in.context("the first step")?;
        self.outcome.tried("second_factor_required");
        let skipped = u64::from(stage == SessionStage::SignedIn);
        self.outcome
            .never("somebody else's remembered browser", skipped);

        let code = self
            .ada
            .recovery_codes
            .first()
            .context("no recovery code")?;
        let answer = hers.recover(code).await;
        self.outcome
            .refused("somebody else's recovery code", answer);
        let his = self.ada.sign_in(wire).await?;
        his.recover(code).await.context("a recovery code")?;
        let again = self.ada.sign_in(wire).await?;
        let answer = again.recover(code).await;
        self.outcome.refused("a used recovery code", answer);

        let (link, address) = (&self.ada.link_token, &self.ada.client_ip);
        let answer = set_password(wire, address, link, "harbour lantern 88 quiet stones").await;
        self.outcome.refused("a used invitation", answer);
        Ok(())
    }
}
