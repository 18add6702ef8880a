//! What people do at the portal in the first days, and everything that was secret in it: signing in,
//! 2FA on, off and with another number, a step-up, forgotten passwords, a user with a licence, a lock,
//! and a disabled factor that is enrolled anew.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::StatusCode;
use sallyport_tests::portal_client::{Page, PortalClient};
use sallyport_tests::processes::{Invited, Processes};
use sallyport_tests::{code_in, codes_at};
use serde_json::{Value, json};

use crate::secrets::Secrets;

/// The wrong codes that end a challenge, as the setting has to say.
pub const TRIES: &str = "10";

const PASSWORD: &str = "granite otter walks 47 bridges";
const WRONG_PASSWORD: &str = "no such words were ever chosen 9";
const NEW_PASSWORD: &str = "seven copper kettles sing at 6";
/// The number as it is dialled, and as people type it; France.
const NUMBER: (&str, &str) = ("+33612345678", "06 12 34 56 78");
/// The number that replaces it.
const NEW_NUMBER: (&str, &str) = ("+33612345679", "06 12 34 56 79");
/// A user whom the administrator adds, and the password that he chooses.
const USER: &str = "bob@traced.example";
const USER_PASSWORD: &str = "12 lanterns hum on quiet docks";
/// More challenges than a hundred wrong codes take.
const MOST_CHALLENGES: usize = 20;

/// Does it all, as the administrator `user`; gives back everything that was secret.
pub async fn walk(processes: &Processes, user: &Invited) -> Result<Secrets> {
    let mut journey = Journey {
        processes,
        email: &user.email,
        http: reqwest::Client::builder().no_proxy().build()?,
        read: BTreeMap::new(),
        secrets: Secrets::default(),
    };
    let known = [
        PASSWORD,
        WRONG_PASSWORD,
        NEW_PASSWORD,
        USER_PASSWORD,
        USER,
        &user.email,
        &user.link_token,
    ];
    for secret in known {
        journey.secrets.text(secret);
    }
    for (dialled, typed) in [NUMBER, NEW_NUMBER] {
        // With and without calling code.
        journey.secrets.text(&dialled[3..]);
        journey.secrets.text(&typed[1..]);
    }

    let mut browser = journey.browser()?;
    journey
        .enrolment(&mut browser, &user.link_token)
        .await
        .context("enrolment")?;
    journey
        .remembered(&mut browser)
        .await
        .context("remembered browser")?;
    journey
        .recovery_codes_remade()
        .await
        .context("recovery codes")?;
    journey
        .off_and_on(&mut browser)
        .await
        .context("2FA off and on")?;
    journey
        .another_number(&mut browser)
        .await
        .context("another number")?;
    journey.hide_tokens(&browser)?;

    let mut browser = journey.browser()?;
    journey
        .forgotten_password(&mut browser)
        .await
        .context("forgotten password")?;
    journey
        .guess_until("second_factor.locked")
        .await
        .context("lock")?;
    // The session that is open goes on while codes are locked.
    journey
        .user_with_licence(&mut browser)
        .await
        .context("user with a licence")?;
    journey
        .guess_until("second_factor.disabled")
        .await
        .context("disabled factor")?;
    journey.hide_tokens(&browser)?;
    journey.enrolled_anew().await.context("enrolled anew")?;
    Ok(journey.secrets)
}

struct Journey<'a> {
    processes: &'a Processes,
    email: &'a str,
    http: reqwest::Client,
    /// How many codes were read at a number. Each is read before the next one is sent.
    read: BTreeMap<&'static str, usize>,
    secrets: Secrets,
}

impl Journey<'_> {
    fn browser(&self) -> Result<PortalClient> {
        PortalClient::new(&self.processes.portal)
    }

    /// Every token that the browser was given until now.
    fn hide_tokens(&mut self, browser: &PortalClient) -> Result<()> {
        // Before sign-in, of a form, of a session.
        ensure!(browser.secrets().len() >= 3, "hardly a token was given");
        for token in browser.secrets() {
            self.secrets.text(token);
        }
        Ok(())
    }

    /// Waits for the next code at a number.
    async fn code(&mut self, (number, _): (&'static str, &str)) -> Result<String> {
        let read = self.read.entry(number).or_default();
        let texts = codes_at(&self.processes.smsc, number, *read + 1).await?;
        let code = code_in(texts.get(*read).context("no message")?)?;
        *read += 1;
        self.secrets.code(&code);
        Ok(code)
    }

    /// Six digits that are not the code.
    fn other_than(&mut self, code: &str) -> Result<String> {
        let number: u32 = code.parse()?;
        let wrong = format!("{:06}", (number + 1) % 1_000_000);
        self.secrets.code(&wrong);
        Ok(wrong)
    }

    /// The recovery codes that the page shows.
    fn recovery_codes(&mut self, page: &Page) -> Result<Vec<String>> {
        let rest = page.text.split("<li><code>").skip(1);
        let codes: Vec<String> = rest
            .filter_map(|rest| rest.split_once("</code>"))
            .map(|(code, _)| code.to_owned())
            .collect();
        ensure!(codes.len() == 10, "recovery codes: {}", page.words());
        for code in &codes {
            self.secrets.text(code.replace('-', ""));
            self.secrets.text(code);
        }
        Ok(codes)
    }

    /// The token of the mailed link with this subject. The links of all mails to the address are
    /// secrets.
    async fn mailed(
        &mut self,
        browser: &mut PortalClient,
        to: &str,
        subject: &str,
    ) -> Result<String> {
        let mut seen = 0;
        loop {
            let path = format!("/dev/inbox?to={to}&wait=20&after={seen}");
            let page = browser.open(&path).await?;
            ensure!(page.status.is_success(), "{path}: {}", page.status);
            let listed: Value = serde_json::from_str(&page.text)?;
            let mails = listed["mails"].as_array().context("no list of mails")?;
            ensure!(!mails.is_empty(), "{seen} mails, and none {subject:?}");
            for mail in mails {
                seen += 1;
                let text = mail["text"].as_str().context("no text")?;
                let Some((_, rest)) = text.split_once("/link/") else {
                    continue;
                };
                let token = rest.split_whitespace().next().context("no token")?;
                self.secrets.text(token);
                if mail["subject"] == subject {
                    return Ok(token.to_owned());
                }
            }
        }
    }

    /// The first password, and 2FA on: a wrong code, a resend that comes too early, and the code.
    async fn enrolment(&mut self, browser: &mut PortalClient, link_token: &str) -> Result<()> {
        browser.choose_password(link_token, PASSWORD).await?;
        browser.sign_in(self.email, PASSWORD).await?;
        browser.at("/account")?;
        let typed = [
            ("mobile_number", NUMBER.1),
            ("country", "FR"),
            ("two_factor", "1"),
        ];
        browser.submit("/account", &typed).await?;
        browser.at("/code")?;
        let code = self.code(NUMBER).await?;
        let wrong = self.other_than(&code)?;
        let page = browser.submit("/code", &[("code", &wrong)]).await?;
        refused(page, "a wrong code")?;
        browser.submit("/code/resend", &[]).await?;
        ensure!(
            browser.path().contains("why=code.resend_too_early"),
            "at {}",
            browser.path()
        );
        let page = browser.submit("/code", &[("code", &code)]).await?;
        self.recovery_codes(page)?;
        Ok(())
    }

    /// Out, and in again by password and code, to be remembered.
    async fn remembered(&mut self, browser: &mut PortalClient) -> Result<()> {
        browser.open("/account").await?;
        browser.submit("/sign-out", &[]).await?;
        browser.at("/sign-in?done=out")?;
        browser.sign_in(self.email, PASSWORD).await?;
        browser.at("/code")?;
        let code = self.code(NUMBER).await?;
        let typed = [("code", code.as_str()), ("remember_browser", "1")];
        browser.submit("/code", &typed).await?;
        browser.at("/account")
    }

    /// In another browser: a wrong password, a new set of recovery codes, and one of them instead of
    /// the message.
    async fn recovery_codes_remade(&mut self) -> Result<()> {
        let mut browser = self.browser()?;
        let page = browser.sign_in(self.email, WRONG_PASSWORD).await?;
        refused(page, "a wrong password")?;
        browser.sign_in(self.email, PASSWORD).await?;
        browser.at("/code")?;
        let code = self.code(NUMBER).await?;
        browser.submit("/code", &[("code", &code)]).await?;
        browser.at("/account")?;
        let page = browser.submit("/account/recovery-codes", &[]).await?;
        let codes = self.recovery_codes(page)?;
        browser.open("/account").await?;
        browser.submit("/sign-out", &[]).await?;
        browser.sign_in(self.email, PASSWORD).await?;
        browser.at("/code")?;
        self.code(NUMBER).await?;
        browser.open("/recovery").await?;
        let typed = [("recovery_code", codes[0].as_str())];
        browser.submit("/recovery", &typed).await?;
        browser.at("/account?left=9")?;
        self.hide_tokens(&browser)
    }

    /// In the remembered browser, which gave no code at sign-in: switching 2FA off asks one. On again
    /// it asks nothing.
    async fn off_and_on(&mut self, browser: &mut PortalClient) -> Result<()> {
        browser.open("/account").await?;
        browser.submit("/sign-out", &[]).await?;
        browser.sign_in(self.email, PASSWORD).await?;
        browser.at("/account")?;
        // As a box that is not ticked.
        browser.submit("/account", &[("two_factor", "")]).await?;
        ensure!(
            browser.path().starts_with("/code?go=disable."),
            "at {}",
            browser.path()
        );
        let code = self.code(NUMBER).await?;
        browser.submit("/code", &[("code", &code)]).await?;
        browser.at("/account?done=two_factor_off")?;
        let page = browser.submit("/account", &[("two_factor", "1")]).await?;
        self.recovery_codes(page)?;
        Ok(())
    }

    /// The new number takes over with the code that it got.
    async fn another_number(&mut self, browser: &mut PortalClient) -> Result<()> {
        browser.open("/account").await?;
        let typed = [("mobile_number", NEW_NUMBER.1), ("country", "FR")];
        browser.submit("/account", &typed).await?;
        browser.at("/code")?;
        let code = self.code(NEW_NUMBER).await?;
        browser.submit("/code", &[("code", &code)]).await?;
        browser.at("/account?done=number")
    }

    /// The password is forgotten, and set anew by the link in the mail; the code is asked as ever.
    async fn forgotten_password(&mut self, browser: &mut PortalClient) -> Result<()> {
        browser.open("/forgot").await?;
        browser.submit("/forgot", &[("email", self.email)]).await?;
        browser.at("/forgot?done=sent")?;
        let token = self
            .mailed(browser, self.email, "Set a new password")
            .await?;
        browser.choose_password(&token, NEW_PASSWORD).await?;
        browser.sign_in(self.email, NEW_PASSWORD).await?;
        browser.at("/code")?;
        let code = self.code(NEW_NUMBER).await?;
        browser.submit("/code", &[("code", &code)]).await?;
        browser.at("/account")
    }

    /// A user is added and gets a licence; with the link that the page shows he chooses his password,
    /// and signs in.
    async fn user_with_licence(&mut self, browser: &mut PortalClient) -> Result<()> {
        browser.open("/users/add").await?;
        let typed = [
            ("email", USER),
            ("first_name", "Bob"),
            ("last_name", "Martin"),
        ];
        let page = browser.submit("/users/add", &typed).await?;
        let link_token = between(page, "/link/", "<")?;
        self.secrets.text(&link_token);
        let page = browser.open("/users").await?;
        let row = page.text.split("<tr>").find(|row| row.contains(USER));
        let row = row.with_context(|| format!("no row of the user: {}", page.words()))?;
        let (_, rest) = row.split_once("\"/users/").context("no link in the row")?;
        let id = rest.split(['/', '"']).next().unwrap_or_default();
        let licence = format!("/users/{id}/licence");
        let page = browser.open(&licence).await?;
        // The plans stand first, and after them that there is none.
        let plan = between(page, "name=\"plan_id\" value=\"", "\"")?;
        browser.submit("", &[("plan_id", &plan)]).await?;
        browser.at("/users?done=licence")?;
        self.mailed(browser, USER, "Choose your password").await?;

        let mut invited = self.browser()?;
        invited.choose_password(&link_token, USER_PASSWORD).await?;
        invited.sign_in(USER, USER_PASSWORD).await?;
        invited.at("/account")?;
        self.hide_tokens(&invited)
    }

    /// Gives wrong codes over the JSON API until no code is sent any more, for this reason.
    async fn guess_until(&mut self, reason: &str) -> Result<()> {
        let known = json!({ "email": self.email, "password": NEW_PASSWORD });
        let answer = self.post("/sign-in", "", "", known).await?;
        let token = answer["session_token"].as_str().context("no token")?;
        self.secrets.text(token);
        let tries: usize = TRIES.parse()?;
        for challenge in 0..MOST_CHALLENGES {
            let key = format!("guess-challenge-{challenge}");
            let sent = self.post("/code/sign-in", token, &key, json!({})).await?;
            match sent["error"]["reason"].as_str() {
                None => {}
                Some(told) if told == reason => return Ok(()),
                Some("second_factor.locked") => {
                    let wait = sent["error"]["retry_after"].as_u64().context("no wait")?;
                    // As the refusal asks.
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                    continue;
                }
                Some(other) => bail!("the code was not sent: {other}"),
            }
            let code = self.code(NEW_NUMBER).await?;
            let wrong = self.other_than(&code)?;
            for _ in 0..tries {
                let guess = json!({ "code": wrong });
                let answer = self.post("/code/verify", token, "", guess).await?;
                ensure!(answer["error"]["reason"] == "code.wrong", "{answer}");
            }
        }
        bail!("wrong codes never led to {reason}")
    }

    async fn post(&self, path: &str, token: &str, key: &str, body: Value) -> Result<Value> {
        let request = self
            .http
            .post(format!("{}/api/v1{path}", self.processes.portal))
            .bearer_auth(token)
            .header("idempotency-key", key)
            .json(&body);
        let answer = request.send().await;
        let answer = answer.with_context(|| format!("{path} is not answered"))?;
        Ok(answer.json().await?)
    }

    /// The code page of the disabled factor has a link mailed; the link, the password and a code to
    /// the number sign in.
    async fn enrolled_anew(&mut self) -> Result<()> {
        let mut browser = self.browser()?;
        browser.sign_in(self.email, NEW_PASSWORD).await?;
        browser.at("/code?why=second_factor.disabled")?;
        browser.submit("/code/link", &[]).await?;
        browser.at("/code?done=link_sent")?;
        let token = self
            .mailed(&mut browser, self.email, "Set up your codes again")
            .await?;
        browser.open(&format!("/link/{token}")).await?;
        browser.submit("", &[("password", NEW_PASSWORD)]).await?;
        browser.at("/enrol")?;
        let typed = [("mobile_number", NEW_NUMBER.1), ("country", "FR")];
        browser.submit("/enrol", &typed).await?;
        browser.at("/code")?;
        let code = self.code(NEW_NUMBER).await?;
        let page = browser.submit("/code", &[("code", &code)]).await?;
        self.recovery_codes(page)?;
        browser.open("/account").await?;
        browser.at("/account")?;
        self.hide_tokens(&browser)
    }
}

fn refused(page: &Page, what: &str) -> Result<()> {
    ensure!(
        page.status == StatusCode::UNPROCESSABLE_ENTITY,
        "{what}: {} {}",
        page.status,
        page.words()
    );
    Ok(())
}

/// What stands in the page behind one text and before the next other one.
fn between(page: &Page, before: &str, after: &str) -> Result<String> {
    let rest = page.text.split_once(before);
    let found = rest.and_then(|(_, rest)| rest.split_once(after));
    let (found, _) = found.with_context(|| format!("no {before:?}: {}", page.words()))?;
    Ok(found.to_owned())
}
