//! Where a user is signed in, and which browsers are remembered, as the block Security lists them.

use sallyport_proto::identity::v1::{OpenSession, RememberedBrowser};

use super::Reader;
use crate::moment::Moment;
use crate::words::Words;

/// An open session.
pub(super) struct SessionRow {
    pub id: String,
    pub since: Option<Moment>,
    pub used: Option<Moment>,
    pub ip: String,
    pub browser: String,
    pub current: bool,
}

/// A remembered browser.
pub(super) struct BrowserRow {
    pub id: String,
    pub since: Option<Moment>,
    pub used: Option<Moment>,
    pub ip: String,
    pub name: String,
    pub current: bool,
}

impl SessionRow {
    pub(super) fn of(session: OpenSession, reader: &Reader) -> Self {
        Self {
            since: reader.reading.wire(&session.created_at),
            used: reader.reading.wire(&session.last_used_at),
            browser: browser(&session.user_agent, reader.w),
            id: session.session_id,
            ip: session.client_ip,
            current: session.current,
        }
    }
}

impl BrowserRow {
    pub(super) fn of(remembered: RememberedBrowser, reader: &Reader) -> Self {
        Self {
            since: reader.reading.wire(&remembered.created_at),
            used: reader.reading.wire(&remembered.last_used_at),
            name: browser(&remembered.user_agent, reader.w),
            id: remembered.browser_id,
            ip: remembered.client_ip,
            current: remembered.current,
        }
    }
}

/// "Firefox, Windows" out of a `User-Agent`, as far as it can be told.
pub(super) fn browser(agent: &str, w: Words) -> String {
    let first = |table: &[(&'static str, &'static str)]| {
        table
            .iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, name)| *name)
    };
    let program = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program}, {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => w.unknown_browser().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Language;

    #[test]
    fn browsers_are_told_by_name_and_system() {
        let w = Words::new(Language::English);
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36";
        let edge = format!(
            "{} Edg/142.0",
            chrome.replace("X11; Linux x86_64", "Windows NT 10.0")
        );
        assert_eq!(browser(chrome, w), "Chrome, Linux");
        assert_eq!(browser(&edge, w), "Edge, Windows");
        assert_eq!(browser("curl/8", w), w.unknown_browser());
    }
}
