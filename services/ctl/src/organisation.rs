//! `org create` and `org list`: calls to account-admin as an operator.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use sallyport_chassis::Refusal;
use sallyport_chassis::channel::{Outgoing, connect, connect_unix};
use sallyport_chassis::clock::to_proto;
use sallyport_chassis::config::{PeerConfig, TlsConfig};
use sallyport_proto::admin::v1::organisation_service_client::OrganisationServiceClient;
use sallyport_proto::admin::v1::{CreateOrganisationRequest, ListOrganisationsRequest};
use serde::Serialize;

use crate::output::{self, Form};

#[derive(Subcommand)]
pub(crate) enum OrgCommand {
    /// Make an organisation, approve its administrator's domain, and invite him; prints the one-time
    /// link.
    ///
    /// Example: sallyportctl org create --socket data/operator.sock --name Example
    /// --email admin@example.com --first-name Ada --last-name Martin --idempotency-key example-1
    Create(Box<Create>),
    /// List the organisations.
    ///
    /// Example: sallyportctl org list --socket data/operator.sock --output json
    List(Door),
}

/// The way in: the all-in-one's socket, or account-admin with an operator's certificate.
#[derive(Args)]
pub(crate) struct Door {
    /// The all-in-one's operator socket.
    #[arg(long, conflicts_with = "url")]
    socket: Option<PathBuf>,
    /// account-admin, e.g. https://localhost:7103
    #[arg(long, requires_all = ["cert", "key", "ca"])]
    url: Option<String>,
    /// The operator's certificate (PEM).
    #[arg(long)]
    cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long)]
    key: Option<PathBuf>,
    /// The authority of account-admin's certificate (PEM).
    #[arg(long)]
    ca: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    door: Door,
    /// The organisation's name.
    #[arg(long)]
    name: String,
    /// The first administrator's e-mail; its domain is approved.
    #[arg(long)]
    email: String,
    #[arg(long)]
    first_name: String,
    #[arg(long)]
    last_name: String,
    /// Language of the administrator: en or fr.
    #[arg(long, default_value = "en")]
    locale: String,
    /// IANA time zone of the administrator.
    #[arg(long, default_value = "America/Toronto")]
    time_zone: String,
    /// The plan's name.
    #[arg(long, default_value = "Standard")]
    plan: String,
    /// Seats purchased.
    #[arg(long, default_value_t = 5)]
    seats: u32,
    /// The day (UTC) on which the plan ends, e.g. 2027-12-31; without it, it does not end.
    #[arg(long)]
    plan_expires: Option<jiff::civil::Date>,
    /// The portal's address, with which the link is printed.
    #[arg(long, default_value = "http://localhost:8080")]
    portal: String,
    /// Repeating with the same key makes no second organisation.
    #[arg(long)]
    idempotency_key: String,
}

impl Door {
    fn open(self) -> Result<Outgoing> {
        match self {
            Self {
                socket: Some(path), ..
            } => Ok(connect_unix(path)),
            Self {
                url: Some(url),
                cert: Some(cert_file),
                key: Some(key_file),
                ca: Some(ca_file),
                ..
            } => {
                let peer = PeerConfig {
                    url,
                    tls: Some(TlsConfig {
                        cert_file,
                        key_file,
                        ca_file,
                    }),
                };
                connect(&peer, "account-admin")
            }
            _ => bail!("give --socket FILE, or --url with --cert, --key and --ca"),
        }
    }
}

#[derive(Serialize)]
struct Made {
    organisation_id: String,
    user_id: String,
    link: String,
}

#[derive(Serialize)]
struct Row {
    organisation_id: String,
    name: String,
    users: u32,
}

pub(crate) async fn run(command: OrgCommand, form: Form) -> Result<()> {
    match command {
        OrgCommand::Create(create) => {
            let mut client = OrganisationServiceClient::new(create.door.open()?);
            let answer = client
                .create_organisation(CreateOrganisationRequest {
                    name: create.name,
                    administrator_email: create.email,
                    first_name: create.first_name,
                    last_name: create.last_name,
                    locale: create.locale,
                    time_zone: create.time_zone,
                    plan: create.plan,
                    seats: create.seats,
                    plan_expires_at: create
                        .plan_expires
                        .map(|day| day.to_zoned(TimeZone::UTC))
                        .transpose()?
                        .map(|midnight| to_proto(midnight.timestamp())),
                    idempotency_key: create.idempotency_key,
                })
                .await
                .map_err(told)?
                .into_inner();
            let made = Made {
                organisation_id: answer.organisation_id,
                user_id: answer.user_id,
                link: format!(
                    "{}/link/{}",
                    create.portal.trim_end_matches('/'),
                    answer.link_token
                ),
            };
            output::rows(
                form,
                &["ORGANISATION", "USER", "ONE-TIME LINK"],
                &[made],
                |made| {
                    vec![
                        made.organisation_id.clone(),
                        made.user_id.clone(),
                        made.link.clone(),
                    ]
                },
            )
        }
        OrgCommand::List(door) => {
            let mut client = OrganisationServiceClient::new(door.open()?);
            let answer = client
                .list_organisations(ListOrganisationsRequest {})
                .await
                .map_err(told)?;
            let rows: Vec<Row> = answer
                .into_inner()
                .organisations
                .into_iter()
                .map(|o| Row {
                    organisation_id: o.organisation_id,
                    name: o.name,
                    users: o.users,
                })
                .collect();
            output::rows(form, &["ORGANISATION", "NAME", "USERS"], &rows, |row| {
                vec![
                    row.organisation_id.clone(),
                    row.name.clone(),
                    row.users.to_string(),
                ]
            })
        }
    }
}

/// A refusal as its reason code, the fields it is about, and when to try again.
fn told(status: tonic::Status) -> anyhow::Error {
    let Some(refusal) = Refusal::from_status(&status) else {
        return anyhow::Error::new(status).context("the call failed; is the service up?");
    };
    let mut text = format!("refused: {}", refusal.reason);
    for (field, reason) in &refusal.fields {
        text.push_str(&format!("\n  {field}: {reason}"));
    }
    if let Some(delay) = refusal.retry_after {
        text.push_str(&format!("\n  try again in {} s", delay.as_secs()));
    }
    anyhow::anyhow!(text)
}
