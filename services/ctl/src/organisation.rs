//! `org create` and `org list`: calls to account-admin as an operator.

use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use sallyport_chassis::clock::to_proto;
use sallyport_proto::admin::v1::organisation_service_client::OrganisationServiceClient;
use sallyport_proto::admin::v1::{CreateOrganisationRequest, ListOrganisationsRequest};
use serde::Serialize;

use crate::door::{Door, told};
use crate::output::{self, Form};

/// Who is called.
const SERVICE: &str = "account-admin";

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
            let mut client = OrganisationServiceClient::new(create.door.open(SERVICE)?);
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
            let mut client = OrganisationServiceClient::new(door.open(SERVICE)?);
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
