//! Forms of a signed-in user's browser, posted by pages of other origins and by whoever holds parts of
//! what a form needs: without a token, with one made up or bent, with the attacker's own, with that
//! of a browser before sign-in or of the user's former session, from another origin, or without the
//! nonce. And a right form that is posted again and again.
//!
//! Through is: a forged form that is not refused, or whose effect is seen afterwards (the user is signed
//! out, his name is another); and a second SMS by one form.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::keyring::random_id;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::person::PASSWORD;
use crate::attack::report::Outcome;
use crate::attack::stack::Stack;
use crate::attack::tally::{Tally, at_once, volley};
use crate::codes_at;
use crate::portal_client::PortalClient;

/// Posts under way.
const CALLERS: usize = 32;
/// A right form is posted so often at once.
const AGAIN: u64 = 30;
/// What a forged form would make of the user.
const FORGED: &str = "Mallory";
/// What the portal answers to a form that it refuses.
const FORBIDDEN: u16 = 403;

type Field = (String, String);
type Header = (&'static str, String);

struct Attack {
    victim: PortalClient,
    /// Of the form "My account", as the victim's browser would send it.
    fields: Vec<Field>,
    /// The portal's.
    origin: String,
    /// Tokens of other sessions and browsers.
    others: Vec<String>,
    tally: Arc<Tally>,
}

fn without(fields: &[Field], name: &str) -> Vec<Field> {
    let others = fields.iter().filter(|(known, _)| known != name);
    others.cloned().collect()
}

fn with(fields: &[Field], name: &str, value: &str) -> Vec<Field> {
    let mut fields = without(fields, name);
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

fn value(fields: &[Field], name: &str) -> Result<String> {
    let field = fields.iter().find(|(known, _)| known == name);
    Ok(field.with_context(|| format!("no {name}"))?.1.clone())
}

impl Attack {
    /// Fields and headers of a forged form.
    fn forged(&self, number: u64) -> Result<(Vec<Field>, Vec<Header>)> {
        let own = vec![
            ("origin", self.origin.clone()),
            ("sec-fetch-site", "same-origin".to_owned()),
        ];
        let fields = with(&self.fields, "first_name", FORGED);
        let token = value(&fields, "csrf")?;
        Ok(match number % 9 {
            0 => (without(&fields, "csrf"), own),
            1 => (with(&fields, "csrf", &random_id().repeat(2)[..43]), own),
            2 => {
                let bent = format!("{}{}", &token[1..], &token[..1]);
                (with(&fields, "csrf", &bent), own)
            }
            3 | 4 => {
                let other = &self.others[(number / 9) as usize % self.others.len()];
                (with(&fields, "csrf", other), own)
            }
            5 => (fields, vec![("origin", "https://evil.example".to_owned())]),
            6 => (fields, Vec::new()),
            7 => {
                let site = ["cross-site", "same-site"][(number / 9) as usize % 2];
                let origin = ("origin", "null".to_owned());
                (fields, vec![origin, ("sec-fetch-site", site.to_owned())])
            }
            _ => (without(&fields, "nonce"), own),
        })
    }

    async fn guess(&self, number: u64) -> Result<()> {
        let path = ["/account", "/sign-out", "/account/password"][(number / 18) as usize % 3];
        let (fields, headers) = self.forged(number)?;
        let status = post(&self.victim, path, &fields, &headers).await?;
        self.tally.note(&status.to_string());
        if status != FORBIDDEN && status < 500 {
            self.tally.count(0);
        }
        Ok(())
    }
}

async fn post(
    browser: &PortalClient,
    path: &str,
    fields: &[Field],
    headers: &[Header],
) -> Result<u16> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Ok(browser.post_as(path, fields, &headers).await?.as_u16())
}

/// Somebody signed in at the portal by his password, with My account open.
async fn signed_in(stack: &mut Stack) -> Result<(PortalClient, String)> {
    let invited = stack.invited().await?;
    let mut browser = PortalClient::new(&stack.processes.portal)?;
    browser
        .choose_password(&invited.link_token, PASSWORD)
        .await?;
    browser.sign_in(&invited.email, PASSWORD).await?;
    browser.at("/account")?;
    Ok((browser, invited.email))
}

fn account(browser: &PortalClient) -> Result<Vec<Field>> {
    browser.form("/account").context("no form of My account")
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let portal = stack.processes.portal.clone();
    let (mut victim, email) = signed_in(stack).await?;
    let former = value(&account(&victim)?, "csrf")?;
    victim.submit("/sign-out", &[]).await?;
    victim.sign_in(&email, PASSWORD).await?;
    victim.at("/account")?;
    let (attacker, _) = signed_in(stack).await?;
    let mut stranger = PortalClient::new(&portal)?;
    stranger.open("/sign-in").await?;
    let before = stranger.form("/sign-in").context("no form of sign-in")?;
    let fields = account(&victim)?;
    let name = value(&fields, "first_name")?;
    ensure!(name != FORGED, "the name is {FORGED} already");
    let attack = Arc::new(Attack {
        victim,
        fields,
        origin: portal,
        others: vec![
            former,
            value(&account(&attacker)?, "csrf")?,
            value(&before, "csrf")?,
        ],
        tally: Tally::of(1),
    });
    volley(0..Scenario::Forms.part(plan, 162), CALLERS, {
        let attack = Arc::clone(&attack);
        move |number| {
            let attack = Arc::clone(&attack);
            async move { attack.guess(number).await }
        }
    })
    .await?;
    let mut outcome = Outcome::default();
    outcome.add(&attack.tally);
    let past = attack.tally.judged().sum();
    outcome.never("a forged form that was not refused", past);
    let mut attack = Arc::into_inner(attack).context("somebody still guesses")?;
    attack.victim.open("/account").await?;
    let signed_out = attack.victim.at("/account").is_err();
    outcome.never("signed out by a forged form", u64::from(signed_out));
    if !signed_out {
        let now = value(&account(&attack.victim)?, "first_name")?;
        outcome.never("a name set by a forged form", u64::from(now != name));
    }
    twice(stack, &mut outcome).await?;
    Ok(outcome)
}

/// One Save that switches two-factor authentication on, posted many times at once.
async fn twice(stack: &mut Stack, outcome: &mut Outcome) -> Result<()> {
    let (browser, _) = signed_in(stack).await?;
    let phone = Stack::phone(stack.number_anew());
    let mut fields = account(&browser)?;
    for (name, value) in [
        ("mobile_number", phone.as_str()),
        ("country", "FR"),
        ("two_factor", "1"),
    ] {
        fields = with(&fields, name, value);
    }
    let headers: Arc<[Header]> = Arc::new([
        ("origin", "null".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ]);
    let (browser, fields, tally) = (Arc::new(browser), Arc::new(fields), Tally::of(1));
    at_once(0..AGAIN, |_| {
        let (browser, fields) = (Arc::clone(&browser), Arc::clone(&fields));
        let (headers, tally) = (Arc::clone(&headers), Arc::clone(&tally));
        async move {
            let status = post(&browser, "/account", &fields, &headers).await?;
            tally.note(&status.to_string());
            Ok(())
        }
    })
    .await?;
    outcome.add(&tally);
    codes_at(&stack.processes.smsc, &phone, 1).await?;
    // Whatever was sent to the phone was sent before this one, and has arrived.
    stack.enrolled().await?;
    let codes = codes_at(&stack.processes.smsc, &phone, 1).await?;
    outcome.beyond("a second SMS by one form", codes.len() as u64, 1);
    Ok(())
}
