//! The JSON API of the portal, from an address of this machine: what anybody on the internet reaches.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

use super::person::fresh_key;
use super::report::ACCEPTED;

/// A program at one address.
#[derive(Debug, Clone)]
pub struct Api {
    http: Client,
    base: String,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The document; null where there is none.
    pub body: Value,
}

impl Answer {
    /// The reason of a refusal, or that there was none.
    pub fn word(&self) -> String {
        match self.body["error"]["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None if self.status.is_success() => ACCEPTED.to_owned(),
            None => self.status.as_u16().to_string(),
        }
    }

    /// Whether it was not refused.
    pub fn is_accepted(&self) -> bool {
        self.status.is_success()
    }

    /// The session's token.
    pub fn token(&self) -> Result<String> {
        let token = self.body["session_token"].as_str();
        let token = token.with_context(|| format!("no token in {}", self.word()))?;
        Ok(token.to_owned())
    }

    /// When a repeated request may succeed.
    pub fn retry_seconds(&self) -> Option<i64> {
        self.body["error"]["retry_after"].as_i64()
    }
}

impl Api {
    /// A program at an address of 127.0.0.0/8 in front of the portal.
    pub fn from(portal: &str, address: Ipv4Addr) -> Result<Self> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .local_address(IpAddr::V4(address))
            .build()?;
        Ok(Self {
            http,
            base: portal.replace("//localhost", "//127.0.0.1"),
        })
    }

    /// Posts a document, with a session's token or without.
    pub async fn post(&self, path: &str, token: &str, body: Value) -> Result<Answer> {
        let request = self.http.post(self.url(path)).json(&body);
        send(path, token, request).await
    }

    /// Reads, with a session's token or without.
    pub async fn get(&self, path: &str, token: &str) -> Result<Answer> {
        send(path, token, self.http.get(self.url(path))).await
    }

    /// Opens a page with the cookie of a session.
    pub async fn page(&self, path: &str, token: &str) -> Result<StatusCode> {
        let answer = self
            .http
            .get(format!("{}{path}", self.base))
            .header("cookie", format!("__Host-session={token}"))
            .header("accept", "text/html")
            .send()
            .await;
        Ok(answer
            .with_context(|| format!("{path} is not answered"))?
            .status())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }
}

async fn send(path: &str, token: &str, request: RequestBuilder) -> Result<Answer> {
    let mut request = request.header("idempotency-key", fresh_key());
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    // Whom a proxy would believe; nobody here is one.
    request = request.header("x-forwarded-for", "203.0.113.77");
    let answer = request
        .send()
        .await
        .with_context(|| format!("{path} is not answered"))?;
    let status = answer.status();
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    Ok(Answer { status, body })
}
