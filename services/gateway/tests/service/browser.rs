//! A gateway on a real socket in front of the fakes, and a browser without script.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway::{Config, Wiring};
use reqwest::header::{ACCEPT_LANGUAGE, COOKIE, HeaderMap, ORIGIN, SET_COOKIE};
use reqwest::{Method, StatusCode};
use sallyport_chassis::SystemClock;
use sallyport_chassis::config::Profile;
use sallyport_proto::identity::v1::SessionStage;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Fakes, PASSWORD};

/// Who signs in, at the field of the form.
pub const ADA: (&str, &str) = ("email", "ada@example.org");

/// A gateway that ends with the test.
pub struct Gateway {
    pub base: String,
    pub fakes: Fakes,
    stop: CancellationToken,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gateway {
    /// In development, in front of somebody with 2FA on or off.
    pub async fn start(two_factor: bool) -> Self {
        Self::with(Fakes::new(two_factor), |_| {}).await
    }

    /// With another configuration.
    pub async fn with(fakes: Fakes, change: impl FnOnce(&mut Config)) -> Self {
        let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://localhost:{}", http.local_addr().unwrap().port());
        let mut config = Config::load(None).unwrap();
        config.profile = Profile::Development;
        config.listen = None;
        config.peers = None;
        config.gateway.portal_url = base.clone();
        change(&mut config);
        let channel = fakes.serve().await;
        let wiring = Wiring {
            http,
            clock: Arc::new(SystemClock),
            identity: channel.clone(),
            otp: channel.clone(),
            admin: channel,
        };
        let stop = CancellationToken::new();
        tokio::spawn(gateway::run(config, wiring, stop.clone()));
        Self { base, fakes, stop }
    }

    /// A browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser {
            base: self.base.replace("localhost", "127.0.0.1"),
            origin: self.base.clone(),
            language: "en".into(),
            cookies: BTreeMap::new(),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            page: Page::default(),
        }
    }

    /// A browser in the reader's language, in a session of this stage or in none.
    pub fn speaking(&self, language: &str, stage: Option<SessionStage>) -> Browser {
        let mut browser = self.browser();
        language.clone_into(&mut browser.language);
        let cookies = &mut browser.cookies;
        cookies.insert("__Host-language".into(), language.into());
        if let Some(stage) = stage {
            cookies.insert("__Host-session".into(), self.fakes.session(stage));
        }
        let mut world = self.fakes.world();
        let own = world.profile.fields.as_mut().unwrap();
        language.clone_into(&mut own.locale);
        browser
    }

    /// A browser that is signed in with both steps.
    pub fn signed_in(&self) -> Browser {
        let mut browser = self.browser();
        let token = self.fakes.session(SessionStage::SignedIn);
        browser.cookies.insert("__Host-session".into(), token);
        browser
    }
}

/// What the server answered last.
#[derive(Debug, Default, Clone)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    /// Where a redirect leads.
    pub fn location(&self) -> &str {
        self.headers
            .get("location")
            .map_or("", |v| v.to_str().unwrap())
    }

    /// The value of a form field of the page.
    pub fn value(&self, name: &str) -> Option<String> {
        let tag = self
            .text
            .split('<')
            .find(|tag| tag.starts_with("input") && tag.contains(&format!("name=\"{name}\"")))?;
        Some(
            attribute(tag, "value")?
                .replace("&#43;", "+")
                .replace("&#39;", "'")
                .replace("&amp;", "&"),
        )
    }

    /// What is picked in a list, among buttons or by a box.
    pub fn picked(&self, name: &str) -> Option<String> {
        let list = format!("<select id=\"{name}\"");
        let own = format!(" name=\"{name}\"");
        let tag = match self.text.split_once(&list) {
            Some((_, rest)) => rest
                .split("</select>")
                .next()?
                .split('<')
                .find(|tag| tag.contains(" selected"))?,
            None => self
                .text
                .split('<')
                .find(|tag| tag.contains(&own) && tag.contains(" checked"))?,
        };
        attribute(tag, "value").map(str::to_owned)
    }

    /// The text without tags.
    pub fn words(&self) -> String {
        words(&self.text)
    }

    /// What is announced above the content; empty where nothing is.
    pub fn alert(&self) -> String {
        let rest = self.text.split_once("role=\"alert\"");
        let rest = rest.map_or("", |(_, rest)| rest);
        words(rest.split("</div>").next().unwrap_or_default())
    }

    /// The sentence at a field, which says so of itself, and to which the summary above leads; empty
    /// where nothing is wrong with the field.
    pub fn error_at(&self, id: &str) -> String {
        let own = format!(" id=\"{id}-error\"");
        let Some((_, rest)) = self.text.split_once(&own) else {
            return String::new();
        };
        let sentence = words(rest.split("</p>").next().unwrap_or_default());
        let field = format!(" id=\"{id}\"");
        let tag = self.text.split('<').find(|tag| tag.contains(&field));
        let tag = tag.unwrap_or_else(|| panic!("no field {id}: {}", self.text));
        let described = attribute(tag, "aria-describedby").unwrap_or_default();
        assert!(
            described
                .split(' ')
                .any(|part| part == format!("{id}-error")),
            "{id} is not described by its error: {tag}"
        );
        // A group of buttons is described alone: ARIA has no invalid group.
        let marked = tag.contains(" aria-invalid=\"true\"");
        assert!(marked || tag.starts_with("fieldset"), "{tag}");
        let link = format!("href=\"#{id}\"");
        let (_, led) = self.text.split_once(&link).expect("a link in the summary");
        assert_eq!(words(led.split("</a>").next().unwrap()), sentence);
        sentence
    }
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// A piece of a page without its tags; what comes before the first `>` is a tag's own.
fn words(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        if let Some((_, text)) = part.split_once('>') {
            out.push_str(text);
            out.push(' ');
        }
    }
    out.replace("&#39;", "'")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A browser without script: cookies, and the forms of the page that it shows.
#[derive(Clone)]
pub struct Browser {
    pub base: String,
    pub origin: String,
    pub language: String,
    pub cookies: BTreeMap<String, String>,
    pub http: reqwest::Client,
    pub page: Page,
}

impl Browser {
    /// Opens a page, without going on where it redirects.
    pub async fn open(&mut self, path: &str) -> &Page {
        let request = self
            .http
            .request(Method::GET, format!("{}{path}", self.base));
        self.send(request).await
    }

    /// Opens a page and goes on to where it redirects.
    pub async fn visit(&mut self, path: &str) -> &Page {
        self.open(path).await;
        self.follow().await
    }

    /// Goes on to where the last answer redirects.
    pub async fn follow(&mut self) -> &Page {
        while self.page.status.is_redirection() {
            let path = self.page.location().to_owned();
            self.open(&path).await;
        }
        &self.page
    }

    /// Opens the page of the sign-in and gives the right password.
    pub async fn give_password(&mut self, page: &str) -> &Page {
        self.open(page).await;
        let typed = [ADA, ("password", PASSWORD)];
        self.submit("/sign-in", &typed).await
    }

    /// Posts a form of the page that is shown, with its hidden fields.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> &Page {
        let request = self.form(path, fields);
        self.send(request).await
    }

    /// The request that submitting makes.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut all: Vec<(String, String)> = Vec::new();
        for name in ["csrf", "nonce", "next", "go", "version"] {
            if let Some(value) = self.page.value(name) {
                all.push((name.to_owned(), value));
            }
        }
        all.extend(
            fields
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        self.post(path, &all)
    }

    /// A post of exactly these fields.
    pub fn post(&self, path: &str, fields: &[(String, String)]) -> reqwest::RequestBuilder {
        self.http
            .request(Method::POST, format!("{}{path}", self.base))
            .header(ORIGIN, &self.origin)
            .form(fields)
    }

    /// The cookies of the browser on a request.
    pub fn dress(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let request = request.header(ACCEPT_LANGUAGE, &self.language);
        if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies.join("; "))
        }
    }

    /// Sends a request with the browser's cookies and keeps those that come.
    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> &Page {
        let answer = self.dress(request).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        for line in headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        self.page = Page {
            status,
            headers,
            text: answer.text().await.unwrap(),
        };
        &self.page
    }
}
