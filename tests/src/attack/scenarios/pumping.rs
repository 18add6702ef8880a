//! Traffic pumping, as it is done with accounts: sixty people of the attacker's, each at an address of
//! his own, let codes be sent to new numbers of one country, hour after hour, while somebody in another
//! country switches two-factor authentication on.
//!
//! The services run in one process here, so that hours can pass. The attacker comes over plain HTTP.
//!
//! Through is: a message at the carrier beyond what a user may have in an hour and in a day, or beyond
//! the country's cap of an hour; and somebody in the other country who gets no code. How many arrived
//! in each hour is among the figures.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use sallyport_chassis::channel::connect_unix;
use sallyport_proto::admin::v1::CreateOrganisationRequest;
use sallyport_proto::admin::v1::organisation_service_client::OrganisationServiceClient;
use serde_json::json;

use crate::attack::Plan;
use crate::attack::api::Api;
use crate::attack::person::{PASSWORD, fresh_key};
use crate::attack::report::{ACCEPTED, Outcome};
use crate::{Kind, System};

/// Accounts of the attacker's.
const ACCOUNTS: u64 = 60;
/// Hours that he goes on.
const HOURS: u64 = 4;
/// Numbers that each account asks for in an hour.
const NUMBERS: u64 = 8;
/// Messages of a user in an hour and in a day, and of a country in an hour.
const USER_HOURLY: u64 = 6;
const USER_DAILY: u64 = 20;
const COUNTRY_HOURLY: u64 = 1_000;

/// Somebody with a password and without a number.
struct Account {
    email: String,
    api: Api,
    /// Messages that arrived for him so far.
    arrived: u64,
}

impl Account {
    async fn new(system: &System, number: u64) -> Result<Self> {
        let email = format!("admin@pumping-{number}.example");
        let request = CreateOrganisationRequest {
            name: format!("Pumping {number}"),
            administrator_email: email.clone(),
            first_name: "First".to_owned(),
            last_name: "Administrator".to_owned(),
            locale: "en".to_owned(),
            time_zone: "America/Toronto".to_owned(),
            plan: "Standard".to_owned(),
            seats: 1,
            plan_expires_at: None,
            idempotency_key: fresh_key(),
        };
        let made = OrganisationServiceClient::new(connect_unix(system.operator_socket()))
            .create_organisation(request)
            .await
            .context("an organisation")?
            .into_inner();
        let [.., high, low] = number.to_be_bytes();
        let api = Api::from(&system.portal, Ipv4Addr::new(127, 1, high, low))?;
        let body = json!({ "link_token": made.link_token, "password": PASSWORD });
        let set = api.post("/links/set-password", "", body).await?;
        ensure!(set.is_accepted(), "the password: {}", set.word());
        Ok(Self {
            email,
            api,
            arrived: 0,
        })
    }

    async fn sign_in(&self) -> Result<String> {
        let body = json!({ "email": self.email, "password": PASSWORD });
        self.api.post("/sign-in", "", body).await?.token()
    }

    /// Has a code sent to a number; the word of the answer.
    async fn send(&self, token: &str, number: &str) -> Result<String> {
        let body = json!({ "number": number });
        let answer = self.api.post("/two-factor/enable", token, body).await?;
        Ok(answer.word())
    }
}

/// Plays it.
pub async fn play(plan: Plan) -> Result<Outcome> {
    let system = System::start(Kind::Real).await?;
    let mut outcome = Outcome::default();
    let (mut accounts, mut people) = (Vec::new(), 0);
    for _ in 0..plan.part(ACCOUNTS, 6) {
        people += 1;
        accounts.push(Account::new(&system, people).await?);
    }
    let mut asked = 0;
    for hour in 1..=HOURS {
        let mut numbers = Vec::new();
        for account in &accounts {
            let token = account.sign_in().await?;
            let mut own = Vec::new();
            for _ in 0..NUMBERS {
                // Forty blocks of one country.
                let number = format!("+44740{:03}{:04}", asked % 40, asked / 40);
                asked += 1;
                outcome.tried(&account.send(&token, &number).await?);
                own.push(number);
            }
            numbers.push(own);
        }
        people += 1;
        elsewhere(&system, people, &mut outcome).await?;
        // What was sent before the last code has arrived with it.
        let counts = system.smsc().context("no carrier")?.counts().await?;
        let mut all = 0;
        for (account, own) in accounts.iter_mut().zip(&numbers) {
            let arrived = own.iter().filter_map(|number| counts.get(number)).sum();
            outcome.beyond("a message beyond a user's hour", arrived, USER_HOURLY);
            account.arrived += arrived;
            all += arrived;
        }
        outcome.figure(&format!("arrived in hour {hour}"), all);
        outcome.beyond("a message beyond a country's hour", all, COUNTRY_HOURLY);
        system.clock.advance(SignedDuration::from_secs(3_601));
    }
    for account in &accounts {
        let arrived = account.arrived;
        outcome.beyond("a message beyond a user's day", arrived, USER_DAILY);
    }
    system.stop().await?;
    Ok(outcome)
}

/// Somebody in another country gets his code.
async fn elsewhere(system: &System, number: u64, outcome: &mut Outcome) -> Result<()> {
    let good = Account::new(system, number).await?;
    let token = good.sign_in().await?;
    let phone = format!("+3361{number:07}");
    let answer = good.send(&token, &phone).await?;
    let kept_out = answer != ACCEPTED;
    outcome.never("a code refused in another country", u64::from(kept_out));
    if !kept_out {
        system.codes(&phone, 1).await?;
    }
    Ok(())
}
