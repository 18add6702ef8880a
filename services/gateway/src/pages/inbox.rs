//! The development inbox: what would have been sent to phones and mailboxes. Only with
//! `profile = "development"`; elsewhere the address does not exist.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use sallyport_chassis::Caller;
use sallyport_chassis::clock::from_proto;
use sallyport_chassis::config::Profile;
use sallyport_proto::identity::v1::{ListMailsRequest, Mail};
use sallyport_proto::otp::v1::{ListSmsRequest, Sms};
use serde::{Deserialize, Serialize};

use super::frame::{self, Frame};
use crate::App;
use crate::moment::{Moment, Reading};
use crate::problem::Problem;
use crate::visitor::Visitor;

/// The longest wait, in seconds, below the limit of a request.
const LONGEST: u32 = 25;
/// The wait of one call to a service, in seconds, below the deadline of a call.
const PART: u32 = 5;

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    f: Frame,
    items: Vec<Item>,
}

struct Item {
    mail: bool,
    to: String,
    subject: String,
    /// Pieces of the text: plain, or a link of the portal.
    text: Vec<(String, bool)>,
    at: Option<Moment>,
    order: i64,
}

/// What is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// A number or an e-mail address; empty: all.
    to: String,
    /// Seconds to wait until there is one.
    wait: Option<u32>,
    /// Only what came after: the sequence of an SMS, the count of mails to the address.
    after: u32,
}

#[derive(Serialize)]
struct Listed {
    sms: Vec<ListedSms>,
    mails: Vec<ListedMail>,
}

#[derive(Serialize)]
struct ListedSms {
    sequence: u32,
    to: String,
    text: String,
    at: Option<jiff::Timestamp>,
}

#[derive(Serialize)]
struct ListedMail {
    to: String,
    subject: String,
    text: String,
    at: Option<jiff::Timestamp>,
}

/// The page, or JSON for `Accept: application/json` and for `?to=…&wait=…`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    if app.profile != Profile::Development {
        return Err(Problem::not_found());
    }
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let json =
        accepted.contains("application/json") || (!asked.to.is_empty() && asked.wait.is_some());
    // A plus sign in an address that was not encoded arrives as a blank.
    let to = asked.to.trim();
    let to = match to.bytes().next() {
        Some(b'0'..=b'9') if !to.contains('@') => format!("+{to}"),
        _ => to.to_owned(),
    };
    let (sms, mails) = wait(&app, &to, asked.after, asked.wait.unwrap_or(0).min(LONGEST)).await?;
    if json {
        return Ok(Json(listed(sms, mails)).into_response());
    }
    let w = visitor.words();
    let reading = Reading::new("UTC", "iso", w.language);
    let base = app.settings.portal_url.trim_end_matches('/');
    let sms = sms.into_iter().map(|sms| Item {
        mail: false,
        to: sms.to,
        subject: String::new(),
        text: linked(&sms.text, base),
        order: sms.at.as_ref().map_or(0, |at| at.seconds),
        at: reading.wire(&sms.at),
    });
    let mails = mails.into_iter().map(|mail| Item {
        mail: true,
        to: mail.to,
        subject: mail.subject,
        text: linked(&mail.text, base),
        order: mail.at.as_ref().map_or(0, |at| at.seconds),
        at: reading.wire(&mail.at),
    });
    let mut items: Vec<Item> = sms.chain(mails).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.order));
    let template = InboxPage {
        f: Frame::within(&app, &visitor, w, w.inbox()),
        items,
    };
    Ok(frame::show(StatusCode::OK, &template))
}

/// Both inboxes, or the one that the address belongs to; waits in parts until there is something.
async fn wait(
    app: &App,
    to: &str,
    after: u32,
    seconds: u32,
) -> Result<(Vec<Sms>, Vec<Mail>), Problem> {
    let mut left = seconds;
    loop {
        let part = left.min(PART);
        let sms = async {
            if to.contains('@') {
                return Ok(Vec::new());
            }
            let request = ListSmsRequest {
                to: to.to_owned(),
                wait_seconds: part,
                after,
            };
            let answer = app
                .clients
                .sms_inbox()
                .list_sms(Caller::nobody().forward(request))
                .await?;
            Ok::<_, tonic::Status>(answer.into_inner().messages)
        };
        let mails = async {
            if to.starts_with('+') {
                return Ok(Vec::new());
            }
            // Without an address, a message of either kind must end the wait of both.
            let wait_seconds = if to.is_empty() { 0 } else { part };
            let request = ListMailsRequest {
                to: to.to_owned(),
                wait_seconds,
                after,
            };
            let answer = app
                .clients
                .mail_inbox()
                .list_mails(Caller::nobody().forward(request))
                .await?;
            Ok::<_, tonic::Status>(answer.into_inner().mails)
        };
        let limit = Duration::from_secs(u64::from(PART) + 4);
        let both = tokio::time::timeout(limit, async { tokio::try_join!(sms, mails) });
        let (sms, mails) = both
            .await
            .map_err(|_| Problem::Failed(tonic::Code::Unavailable))??;
        left -= part;
        if left == 0 || !sms.is_empty() || !mails.is_empty() {
            return Ok((sms, mails));
        }
    }
}

fn listed(sms: Vec<Sms>, mails: Vec<Mail>) -> Listed {
    let at = |stamp: &Option<prost_types::Timestamp>| stamp.as_ref().and_then(from_proto);
    Listed {
        sms: sms
            .into_iter()
            .map(|sms| ListedSms {
                sequence: sms.sequence,
                at: at(&sms.at),
                to: sms.to,
                text: sms.text,
            })
            .collect(),
        mails: mails
            .into_iter()
            .map(|mail| ListedMail {
                at: at(&mail.at),
                to: mail.to,
                subject: mail.subject,
                text: mail.text,
            })
            .collect(),
    }
}

/// Cuts a text at the addresses of the portal, which become links.
fn linked(text: &str, base: &str) -> Vec<(String, bool)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let own = format!("{base}/");
    while let Some(start) = rest.find(&own) {
        let (before, from) = rest.split_at(start);
        let end = from.find(char::is_whitespace).unwrap_or(from.len());
        let (link, after) = from.split_at(end);
        pieces.push((before.to_owned(), false));
        pieces.push((link.to_owned(), true));
        rest = after;
    }
    pieces.push((rest.to_owned(), false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_portals_own_addresses_become_links() {
        let text = "See https://evil.example/x and\nhttp://localhost:8080/link/spl_1 now";
        let pieces = linked(text, "http://localhost:8080");
        let links: Vec<_> = pieces.iter().filter(|(_, link)| *link).collect();
        assert_eq!(
            links,
            [&("http://localhost:8080/link/spl_1".to_owned(), true)]
        );
        let whole: String = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
        assert_eq!(whole, text);
    }
}
