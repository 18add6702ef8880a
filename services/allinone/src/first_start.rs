//! The first organisation of an empty system, so that a newcomer can sign in. Nothing has a default
//! password: its administrator gets a one-time link.

use anyhow::Result;
use sallyport_chassis::Clock;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::clock::to_proto;
use sallyport_proto::admin::v1::organisation_service_client::OrganisationServiceClient;
use sallyport_proto::admin::v1::{CreateOrganisationRequest, ListOrganisationsRequest};

/// How long the first plan lasts.
const PLAN_LIFE: jiff::SignedDuration = jiff::SignedDuration::from_hours(365 * 24);

/// Who was invited.
#[derive(Debug)]
pub struct FirstAdministrator {
    /// The e-mail to sign in with.
    pub email: String,
    /// The one-time link's token.
    pub link_token: sallyport_chassis::Secret,
}

/// `None` where an organisation exists already.
pub(crate) async fn make(
    operator: Outgoing,
    clock: &dyn Clock,
) -> Result<Option<FirstAdministrator>> {
    let mut organisations = OrganisationServiceClient::new(operator);
    let known = organisations
        .list_organisations(ListOrganisationsRequest {})
        .await?
        .into_inner();
    if !known.organisations.is_empty() {
        return Ok(None);
    }
    let email = "admin@example.com".to_owned();
    let made = organisations
        .create_organisation(CreateOrganisationRequest {
            name: "Example".to_owned(),
            administrator_email: email.clone(),
            first_name: "First".to_owned(),
            last_name: "Administrator".to_owned(),
            locale: "en".to_owned(),
            time_zone: "America/Toronto".to_owned(),
            plan: "Standard".to_owned(),
            seats: 25,
            plan_expires_at: Some(to_proto(clock.now() + PLAN_LIFE)),
            idempotency_key: "first-start".to_owned(),
        })
        .await?
        .into_inner();
    Ok(Some(FirstAdministrator {
        email,
        link_token: sallyport_chassis::Secret::new(made.link_token),
    }))
}
