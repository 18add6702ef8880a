//! A browser without script, for tests that need no real one: it keeps the portal's cookies, and
//! posts the forms of the page that it shows.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{
    ACCEPT, ACCEPT_LANGUAGE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT,
};
use reqwest::{Client, RequestBuilder, StatusCode};

/// A page that takes longer hangs: the portal itself ends a request after 30 seconds.
const HANGS: Duration = Duration::from_secs(45);
/// More redirects in a row lead nowhere.
const REDIRECTS: usize = 10;
/// Cookies whose value opens something.
const SECRET_COOKIES: [&str; 3] = ["__Host-session", "__Host-pre", "__Host-browser"];

/// What the portal answered.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The document.
    pub text: String,
}

impl Page {
    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// What a person reads of it: the document without its tags.
    pub fn words(&self) -> String {
        let pieces = self.text.split('<').filter_map(|part| part.split_once('>'));
        let words: Vec<&str> = pieces
            .flat_map(|(_, text)| text.split_whitespace())
            .collect();
        unescaped(&words.join(" "))
    }
}

/// The browser of one person.
pub struct PortalClient {
    http: Client,
    base: String,
    /// By hand, since no cookie store keeps Secure cookies without TLS, as browsers do on localhost.
    cookies: BTreeMap<String, String>,
    page: Page,
    path: String,
    posted: Option<(String, Vec<(String, String)>)>,
    secrets: Vec<String>,
}

impl PortalClient {
    /// A browser without cookies in front of the portal (`http://localhost:PORT`).
    pub fn new(portal: &str) -> Result<Self> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(HANGS)
            .build()?;
        Ok(Self {
            http,
            // The name may be ::1 first, where nobody listens.
            base: portal.replace("//localhost", "//127.0.0.1"),
            cookies: BTreeMap::new(),
            page: Page::default(),
            path: String::new(),
            posted: None,
            secrets: Vec::new(),
        })
    }

    /// The page that is shown.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Path and query of the page that is shown.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Every token that the portal ever gave to this browser, those that have ended too.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Fails unless this address is shown, and well.
    pub fn at(&self, path: &str) -> Result<()> {
        ensure!(
            self.path == path && self.page.status.is_success(),
            "at {} ({}), not {path}; the page says: {}",
            self.path,
            self.page.status,
            self.page.words()
        );
        Ok(())
    }

    /// Opens a page, and goes on to where it leads.
    pub async fn open(&mut self, path: &str) -> Result<&Page> {
        self.get(path).await?;
        self.follow().await
    }

    /// Fills in and submits the form with this action: what stands in it, with what is typed here
    /// in its place. Goes on to where that leads.
    pub async fn submit(&mut self, action: &str, typed: &[(&str, &str)]) -> Result<&Page> {
        let mut fields = fields_of(&self.page.text, action).with_context(|| {
            let (path, words) = (&self.path, self.page.words());
            format!("no form for {action:?} at {path}; the page says: {words}")
        })?;
        for (name, value) in typed {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let tokens = fields.iter().filter(|(name, _)| name == "csrf");
        for token in tokens.map(|(_, token)| token.clone()).collect::<Vec<_>>() {
            self.remember(token);
        }
        let path = match action {
            "" => self.path.clone(),
            action => action.to_owned(),
        };
        self.posted = Some((path, fields));
        self.again().await
    }

    /// Submits the last form once more, unchanged: the same button pressed again, or the page of
    /// the answer loaded again.
    pub async fn again(&mut self) -> Result<&Page> {
        let (path, fields) = self.posted.clone().context("no form was submitted yet")?;
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            // What browsers write under the portal's `Referrer-Policy: no-referrer`.
            .header(ORIGIN, "null")
            .form(&fields);
        self.send(&path, request).await?;
        self.follow().await
    }

    /// What a browser would send of the form with this action on the page that is shown.
    pub fn form(&self, action: &str) -> Option<Vec<(String, String)>> {
        fields_of(&self.page.text, action)
    }

    /// Posts fields as whoever can make this browser post them: its cookies go along, and of the
    /// headers that tell where a form stood only those given here. The page that is shown, and the
    /// cookies, stay; gives the status.
    pub async fn post_as(
        &self,
        path: &str,
        fields: &[(String, String)],
        headers: &[(&'static str, &str)],
    ) -> Result<StatusCode> {
        let mut request = self
            .http
            .post(format!("{}{path}", self.base))
            .header(ACCEPT, "text/html")
            .header(COOKIE, self.cookie())
            .form(fields);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await;
        Ok(answer
            .with_context(|| format!("{path} is not answered"))?
            .status())
    }

    /// Sets the password of a one-time link (`spl_…`).
    pub async fn choose_password(&mut self, link_token: &str, password: &str) -> Result<()> {
        self.open(&format!("/link/{link_token}")).await?;
        let typed = [("password", password), ("password_again", password)];
        self.submit("", &typed).await?;
        self.at("/sign-in?done=password")
    }

    /// Gives e-mail and password on the page of sign-in.
    pub async fn sign_in(&mut self, email: &str, password: &str) -> Result<&Page> {
        self.open("/sign-in").await?;
        let typed = [("email", email), ("password", password)];
        self.submit("/sign-in", &typed).await
    }

    async fn get(&mut self, path: &str) -> Result<()> {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(path, request).await
    }

    async fn follow(&mut self) -> Result<&Page> {
        let mut redirects = 0;
        while self.page.status.is_redirection() {
            if redirects == REDIRECTS {
                bail!(
                    "{redirects} redirects in a row, the last one to {}",
                    self.path
                );
            }
            redirects += 1;
            let next = self.page.header(LOCATION.as_str()).to_owned();
            ensure!(next.starts_with('/'), "{} leads to {next:?}", self.path);
            self.get(&next).await?;
        }
        Ok(&self.page)
    }

    async fn send(&mut self, path: &str, request: RequestBuilder) -> Result<()> {
        let cookies = self.cookie();
        let mut request = request
            .header(ACCEPT, "text/html")
            .header(ACCEPT_LANGUAGE, "en")
            .header(USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-dest", "document");
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("{path} is not answered"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        for line in headers.get_all(SET_COOKIE) {
            self.keep(line.to_str()?)?;
        }
        self.page = Page {
            status,
            headers,
            text,
        };
        path.clone_into(&mut self.path);
        Ok(())
    }

    /// The value of the header `Cookie`.
    fn cookie(&self) -> String {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Keeps or drops a cookie as a browser does; one that it would refuse is an error.
    fn keep(&mut self, line: &str) -> Result<()> {
        let (name, rest) = line.split_once('=').context("a cookie without a value")?;
        let mut parts = rest.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default();
        let attributes: Vec<&str> = parts.collect();
        ensure!(
            name.starts_with("__Host-")
                && attributes.contains(&"Secure")
                && attributes.contains(&"Path=/"),
            "a browser would refuse the cookie {name}"
        );
        if attributes.contains(&"Max-Age=0") {
            self.cookies.remove(name);
            return Ok(());
        }
        if SECRET_COOKIES.contains(&name) {
            self.remember(value.to_owned());
        }
        self.cookies.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn remember(&mut self, secret: String) {
        if !self.secrets.contains(&secret) {
            self.secrets.push(secret);
        }
    }
}

/// What a browser sends of the form with this action: what is hidden, typed, ticked and picked in
/// it. `None` where the page has no such form.
fn fields_of(page: &str, action: &str) -> Option<Vec<(String, String)>> {
    let form = page.split("<form ").skip(1).find(|form| {
        let tag = form.split('>').next().unwrap_or_default();
        attribute(tag, "action").as_deref() == Some(action)
    })?;
    let form = form.split("</form>").next()?;
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut picker = None;
    for tag in form.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let is = |word: &str| tag.split_whitespace().any(|part| part == word);
        let value = attribute(tag, "value").unwrap_or_default();
        match tag.split_whitespace().next().unwrap_or_default() {
            "input" => {
                let kind = attribute(tag, "type");
                let ticked =
                    !matches!(kind.as_deref(), Some("checkbox" | "radio")) || is("checked");
                if let Some(name) = attribute(tag, "name").filter(|_| ticked) {
                    fields.push((name, value));
                }
            }
            "select" => picker = attribute(tag, "name"),
            "option" => {
                let Some(name) = &picker else { continue };
                // The first one, unless another is marked.
                match fields.iter().position(|(known, _)| known == name) {
                    None => fields.push((name.clone(), value)),
                    Some(place) if is("selected") => fields[place].1 = value,
                    Some(_) => {}
                }
            }
            "/select" => picker = None,
            _ => {}
        }
    }
    Some(fields)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(unescaped(value))
}

/// Reads the five references that the portal writes.
fn unescaped(text: &str) -> String {
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<form class=\"bar-nav\" method=\"post\" action=\"/language\">\
        <input type=\"hidden\" name=\"csrf\" value=\"other\"></form>\
        <form method=\"post\" action=\"/account\" id=\"account\" novalidate>\
        <input type=\"hidden\" name=\"csrf\" value=\"token\">\
        <input id=\"first_name\" name=\"first_name\" type=\"text\" value=\"Ad&#39;a &#38; B\">\
        <input class=\"filter\" type=\"search\" data-filter=\"country\">\
        <select id=\"country\" name=\"country\"><option value=\"\">None</option>\
        <option value=\"FR\" selected data-keys=\"FR +33\">France (+33)</option></select>\
        <select name=\"plain\"><option value=\"a\">A</option><option value=\"b\">B</option></select>\
        <input type=\"checkbox\" name=\"off\" value=\"1\">\
        <input type=\"checkbox\" name=\"on\" value=\"1\" checked>\
        <input type=\"radio\" name=\"one_of\" value=\"first\">\
        <input type=\"radio\" name=\"one_of\" value=\"second\" checked>\
        <input type=\"password\" name=\"password\"></form>";

    #[test]
    fn a_form_sends_what_a_browser_would_send_of_it() {
        let fields = fields_of(PAGE, "/account").unwrap();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("csrf", "token"),
            ("first_name", "Ad'a & B"),
            ("country", "FR"),
            ("plain", "a"),
            ("on", "1"),
            ("one_of", "second"),
            ("password", ""),
        ];
        assert_eq!(fields, expected);
        assert_eq!(fields_of(PAGE, "/elsewhere"), None);
    }

    #[test]
    fn cookies_that_a_browser_would_refuse_are_errors_and_tokens_are_remembered() {
        let mut client = PortalClient::new("http://localhost:1").unwrap();
        client
            .keep("__Host-session=sps_1; Path=/; Secure; HttpOnly; SameSite=Lax")
            .unwrap();
        client
            .keep("__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
            .unwrap();
        assert!(client.cookies.is_empty());
        assert_eq!(client.secrets(), ["sps_1"]);
        client.keep("__Host-session=sps_2; Path=/").unwrap_err();
        client.keep("session=sps_2; Path=/; Secure").unwrap_err();
    }
}
