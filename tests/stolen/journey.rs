//! A person in the midst of what people do at the portal, and everything that is secret in it: a first
//! password, 2FA with its recovery codes, a remembered browser, an authenticator app, a mailed link
//! that was not used, and a code to another number that was not given yet.

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use sallyport_chassis::Clock;
use sallyport_testkit::{AuthenticatorApp, ForeignSmsc};
use sallyport_tests::portal_client::{Page, PortalClient};
use sallyport_tests::{code_in, codes_at};

use crate::needles::Needles;

const PASSWORD: &str = "granite otter walks 47 bridges";
const WRONG_PASSWORD: &str = "no such words were ever chosen 9";
/// The number as it is dialled, and as people type it; France.
const NUMBER: (&str, &str) = ("+33612345678", "06 12 34 56 78");
/// The number that is to replace it.
pub const NEW_NUMBER: (&str, &str) = ("+33687654321", "06 87 65 43 21");

/// The person.
pub struct Journey {
    email: String,
    browser: PortalClient,
    /// Whatever opens something.
    pub secrets: Needles,
    /// Both numbers.
    pub numbers: Needles,
}

impl Journey {
    /// From the invitation up to the app. Another browser has the password reset, and does not.
    pub async fn begin(
        portal: &str,
        smsc: &ForeignSmsc,
        clock: &dyn Clock,
        email: &str,
        link_token: &str,
    ) -> Result<Self> {
        let mut journey = Self {
            email: email.to_owned(),
            browser: PortalClient::new(portal)?,
            secrets: Needles::new(),
            numbers: Needles::new(),
        };
        journey.secrets.add("the invitation", link_token);
        journey.secrets.add("the password", PASSWORD);
        journey.secrets.add("a wrong password", WRONG_PASSWORD);
        for (dialled, typed) in [NUMBER, NEW_NUMBER] {
            // With and without calling code or zero, and as it was typed.
            journey.numbers.add("a number", &dialled[3..]);
            journey.numbers.add("a number as typed", &typed[1..]);
        }
        journey
            .enrolment(smsc, link_token)
            .await
            .context("2FA on")?;
        let app = journey.authenticator(clock).await.context("an app")?;
        journey
            .remembered(&app, clock)
            .await
            .context("a remembered browser")?;

        let mut other = PortalClient::new(portal)?;
        other.sign_in(email, WRONG_PASSWORD).await?;
        journey.mailed_link(&mut other).await.context("a mail")?;
        hide_tokens(&mut journey.secrets, &other);
        Ok(journey)
    }

    async fn enrolment(&mut self, smsc: &ForeignSmsc, link_token: &str) -> Result<()> {
        let browser = &mut self.browser;
        browser.choose_password(link_token, PASSWORD).await?;
        browser.sign_in(&self.email, PASSWORD).await?;
        browser.at("/account")?;
        let typed = [
            ("mobile_number", NUMBER.1),
            ("country", "FR"),
            ("two_factor", "1"),
        ];
        browser.submit("/account", &typed).await?;
        browser.at("/code")?;
        let code = self.read(smsc, NUMBER, 1).await?;
        let page = self.browser.submit("/code", &[("code", &code)]).await?;
        let codes = recovery_codes(page)?;
        for code in codes {
            self.secrets.add("a recovery code", code.replace('-', ""));
            self.secrets.add("a recovery code", code.to_lowercase());
            self.secrets.add("a recovery code", code);
        }
        Ok(())
    }

    async fn authenticator(&mut self, clock: &dyn Clock) -> Result<AuthenticatorApp> {
        self.browser.open("/account").await?;
        let page = self.browser.submit("/account/authenticator", &[]).await?;
        let rest = page.text.split_once("name=\"secret\" value=\"");
        let seed = rest.and_then(|(_, rest)| rest.split_once('"'));
        let (seed, _) = seed.with_context(|| format!("no seed: {}", page.words()))?;
        let app = AuthenticatorApp::of(seed);
        self.secrets.add("the seed in base 32", seed);
        self.secrets.add("the seed", seed.to_lowercase());
        self.secrets.add("the seed", app.seed());
        let code = app.shows(clock.now());
        self.secrets.add_code("a code of the app", &code);
        let typed = [("code", code.as_str())];
        self.browser
            .submit("/account/authenticator/confirm", &typed)
            .await?;
        self.browser.at("/account?done=authenticator")?;
        Ok(app)
    }

    /// Out, and in again by the app's next code, to be remembered.
    async fn remembered(&mut self, app: &AuthenticatorApp, clock: &dyn Clock) -> Result<()> {
        let browser = &mut self.browser;
        browser.open("/account").await?;
        browser.submit("/sign-out", &[]).await?;
        browser.sign_in(&self.email, PASSWORD).await?;
        browser.at("/authenticator")?;
        let code = app.shows(clock.now() + SignedDuration::from_secs(30));
        self.secrets.add_code("a code of the app", &code);
        let typed = [("code", code.as_str()), ("remember_browser", "1")];
        browser.submit("/authenticator", &typed).await?;
        browser.at("/account")
    }

    /// The link in the first mail that has one.
    async fn mailed_link(&mut self, browser: &mut PortalClient) -> Result<()> {
        browser.open("/forgot").await?;
        browser.submit("/forgot", &[("email", &self.email)]).await?;
        browser.at("/forgot?done=sent")?;
        let mut seen = 0;
        loop {
            let path = format!("/dev/inbox?to={}&wait=20&after={seen}", self.email);
            let page = browser.open(&path).await?;
            let listed: serde_json::Value = serde_json::from_str(&page.text)?;
            let mails = listed["mails"].as_array().context("no list of mails")?;
            ensure!(!mails.is_empty(), "{seen} mails, and none to reset");
            for mail in mails {
                seen += 1;
                let text = mail["text"].as_str().context("no text")?;
                let Some((_, rest)) = text.split_once("/link/") else {
                    continue;
                };
                let token = rest.split_whitespace().next().context("no token")?;
                self.secrets.add("a mailed link", token);
                if mail["subject"] == "Set a new password" {
                    return Ok(());
                }
            }
        }
    }

    /// Asks for the code to another number, and goes no further.
    pub async fn another_number(&mut self) -> Result<()> {
        let browser = &mut self.browser;
        browser.open("/account").await?;
        let typed = [("mobile_number", NEW_NUMBER.1), ("country", "FR")];
        browser.submit("/account", &typed).await?;
        browser.at("/code")?;
        hide_tokens(&mut self.secrets, &self.browser);
        Ok(())
    }

    /// Waits for so many messages with a code at a number, and gives the code of the last.
    pub async fn read(
        &mut self,
        smsc: &ForeignSmsc,
        (number, _): (&str, &str),
        count: usize,
    ) -> Result<String> {
        let texts = codes_at(smsc, number, count).await?;
        let text = texts.get(count - 1).context("no message")?;
        let code = code_in(text)?;
        self.secrets.add_code("a code", &code);
        self.secrets.add("the text of a message", text);
        for line in text.lines().filter(|line| line.contains(&code)) {
            self.secrets.add("the line of a code", line);
        }
        Ok(code)
    }

    /// The token of this kind (`sps_`, `spb_`) that the browser got last.
    pub fn token(&self, prefix: &str) -> Result<&str> {
        let mut tokens = self.browser.secrets().iter().rev();
        let token = tokens.find(|token| token.starts_with(prefix));
        Ok(token.with_context(|| format!("no {prefix}…"))?)
    }
}

/// Every token and cookie that the browser was given until now.
fn hide_tokens(secrets: &mut Needles, browser: &PortalClient) {
    for token in browser.secrets() {
        secrets.add("a token", token);
    }
}

/// The recovery codes that the page shows.
fn recovery_codes(page: &Page) -> Result<Vec<String>> {
    let rest = page.text.split("<li><code>").skip(1);
    let codes: Vec<String> = rest
        .filter_map(|rest| rest.split_once("</code>"))
        .map(|(code, _)| code.to_owned())
        .collect();
    ensure!(codes.len() == 10, "recovery codes: {}", page.words());
    Ok(codes)
}
