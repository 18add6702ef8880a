//! Pages and forms of the portal, opened and filled in with anything.

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use sallyport_fuzz::Bender;
use sallyport_tests::portal_client::PortalClient;

use crate::calls::{PASSWORD, Person};

/// The table of routes: a new page is tried without being named here.
const ROUTES: &str = include_str!("../../services/gateway/src/pages/mod.rs");
/// What one page tells the next.
const TOLD: [&str; 9] = [
    "next", "why", "wait", "go", "done", "minimum", "left", "search", "page",
];
/// Stands in words that pages show again, and in none of the portal's own.
const UNESCAPED: &str = "<img src=x>";

/// The pages that are opened, by their addresses in the table.
pub fn pages() -> Result<Vec<&'static str>> {
    let pages: Vec<&str> = ROUTES
        .split(".route(")
        .skip(1)
        // A route ends where the next call of the builder begins.
        .filter_map(|rest| rest.split("\n        .").next())
        .filter(|route| route.contains("get("))
        .filter_map(|route| route.split('"').nth(1))
        // A stream, and what waits for messages.
        .filter(|path| !matches!(*path, "/code/events" | "/dev/inbox"))
        .collect();
    ensure!(pages.len() > 10, "the routes are not read");
    Ok(pages)
}

/// Every page once, and a form of each.
pub async fn round(
    portal: &str,
    person: &Person,
    bender: &mut Bender,
    wrong: &mut Vec<String>,
) -> Result<()> {
    let mut client = PortalClient::new(portal)?;
    client.sign_in(&person.email, PASSWORD).await?;
    client.at("/account").context("signing in")?;
    for page in pages()? {
        let path = address(portal, page, person, bender)?;
        let opened = client.open(&path).await.map(|_| ());
        tell(opened.and_then(|()| sound(&client)), &path, wrong);
        let mut forms = forms(&client.page().text);
        forms.retain(|(action, _)| action != "/sign-out");
        if forms.is_empty() {
            continue;
        }
        let (action, fields) = bender.pick(&forms);
        let typed: Vec<(&str, String)> = fields
            .iter()
            .filter_map(|field| {
                // Without its token and its nonce a form is only refused.
                let many = match field.as_str() {
                    "csrf" | "nonce" => 16,
                    _ => 3,
                };
                bender
                    .one_in(many)
                    .then(|| (field.as_str(), person.values.text(field, bender)))
            })
            .collect();
        let pairs: Vec<(&str, &str)> = typed
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let submitted = client.submit(action, &pairs).await.map(|_| ());
        let what = format!("{action} with {pairs:?}");
        tell(submitted.and_then(|()| sound(&client)), &what, wrong);
    }
    Ok(())
}

fn tell(done: Result<()>, what: &str, wrong: &mut Vec<String>) {
    if let Err(error) = done {
        wrong.push(format!("{what}: {error:#}"));
    }
}

/// The page's address with its places filled in and something to tell it.
fn address(portal: &str, page: &str, person: &Person, bender: &mut Bender) -> Result<String> {
    let mut url = Url::parse(portal)?;
    {
        let mut segments = url.path_segments_mut().ok().context("no path")?;
        segments.clear();
        for segment in page.split('/').skip(1) {
            let place = match segment {
                "{token}" => person.values.text("link_token", bender),
                "{id}" => person.values.text("user_id", bender),
                fixed => fixed.to_owned(),
            };
            segments.push(&place);
        }
    }
    for name in TOLD {
        if bender.one_in(4) {
            let text = person.values.text(name, bender);
            url.query_pairs_mut().append_pair(name, &text);
        }
    }
    Ok(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    })
}

/// What holds of every page. That it leads nowhere else and sets no other cookies, the client sees to.
fn sound(client: &PortalClient) -> Result<()> {
    let page = client.page();
    ensure!(!page.status.is_server_error(), "{}", page.status);
    ensure!(
        !page.header("content-security-policy").is_empty(),
        "no policy"
    );
    ensure!(!page.text.contains(UNESCAPED), "shown as it came");
    Ok(())
}

/// The forms of a page: where they go, and the names of their fields.
fn forms(page: &str) -> Vec<(String, Vec<String>)> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    page.split("<form ")
        .skip(1)
        .filter_map(|form| {
            let form = form.split("</form>").next()?;
            let tag = form.split('>').next()?;
            let action = attribute(tag, "action").filter(|_| tag.contains("method=\"post\""))?;
            let names = form
                .split('<')
                .skip(1)
                .filter_map(|tag| attribute(tag.split('>').next()?, "name"));
            Some((action, names.collect()))
        })
        .collect()
}
