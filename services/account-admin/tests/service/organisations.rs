use sallyport_chassis::Peer;
use sallyport_proto::admin::v1 as pb;
use tonic::Code;

use crate::on_both;
use crate::world::{Reason, World, by, creation};

on_both!(
    a_new_store_holds_no_organisation,
    a_new_organisation_is_whole,
    creating_is_idempotent_by_key,
    what_cannot_be_an_organisation_is_refused,
    two_creations_of_one_domain_at_once_make_one,
    operators_approve_domains,
);

/// And so no administrator: nobody has an account that nobody made.
async fn a_new_store_holds_no_organisation(world: World) {
    let listed = world
        .organisations()
        .list_organisations(pb::ListOrganisationsRequest {})
        .await
        .unwrap();
    assert!(listed.into_inner().organisations.is_empty());
}

async fn a_new_organisation_is_whole(world: World) {
    let mut request = creation("acme.example", 3);
    let expires: jiff::Timestamp = "2027-11-24T00:00:00Z".parse().unwrap();
    request.plan_expires_at = Some(sallyport_chassis::clock::to_proto(expires));
    let made = world
        .organisations()
        .create_organisation(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.link_token, "spl_0");

    let told = world.identity.state().users[&made.user_id].clone();
    assert_eq!(told.email, "admin@acme.example");
    assert_eq!(told.organisation_id, made.organisation_id);
    assert_eq!(told.permissions.len(), 9);
    assert!(told.licensed);
    assert_eq!(told.context_words, ["Ada", "Roy", "Firm of acme.example"]);

    let token = world.sign_in(&made.organisation_id, &made.user_id, 2);
    let profile = world
        .profiles()
        .get_profile(by(&token, pb::GetProfileRequest {}))
        .await
        .unwrap()
        .into_inner()
        .profile
        .unwrap();
    let licence = profile.licence.unwrap();
    assert_eq!(licence.plan_name, "Standard");
    assert_eq!(
        licence.expires_at,
        Some(sallyport_chassis::clock::to_proto(expires))
    );
    assert_eq!(profile.organisation_name, "Firm of acme.example");
    assert!(
        profile
            .permissions
            .contains(&"administrator_security".to_owned())
    );

    let plans = world
        .licences()
        .list_plans(by(&token, pb::ListPlansRequest {}))
        .await
        .unwrap()
        .into_inner()
        .plans;
    assert_eq!((plans[0].purchased, plans[0].assigned), (3, 1));
    let domains = world
        .domains(Peer::service("gateway"))
        .list_domains(by(&token, pb::ListDomainsRequest {}))
        .await
        .unwrap()
        .into_inner()
        .domains;
    assert_eq!(domains[0].domain, "acme.example");
    assert_eq!(domains[0].state(), pb::DomainState::Verified);

    let listed = world
        .organisations()
        .list_organisations(pb::ListOrganisationsRequest {})
        .await
        .unwrap()
        .into_inner()
        .organisations;
    assert_eq!(
        listed.len(),
        1,
        "the chain of nobody's events is no organisation"
    );
    assert_eq!(
        (listed[0].users, &listed[0].organisation_id),
        (1, &made.organisation_id)
    );
}

async fn creating_is_idempotent_by_key(world: World) {
    let mut organisations = world.organisations();
    let first = organisations
        .create_organisation(creation("acme.example", 3))
        .await
        .unwrap();
    let again = organisations
        .create_organisation(creation("acme.example", 3))
        .await
        .unwrap();
    let (first, again) = (first.into_inner(), again.into_inner());
    assert_eq!(first.organisation_id, again.organisation_id);
    assert_eq!(first.user_id, again.user_id);
    assert_eq!(
        (first.link_token.as_str(), again.link_token.as_str()),
        ("spl_0", "spl_1")
    );
    // Who has a password needs no link, also where the event of it is still on its way.
    world
        .identity
        .change(|state| state.with_password.insert(first.user_id.clone()));
    let late = organisations
        .create_organisation(creation("acme.example", 3))
        .await
        .unwrap();
    assert_eq!(late.into_inner().link_token, "");
    let set = world.event_of(
        &first.organisation_id,
        "authn_password_change",
        &first.user_id,
    );
    world.append(vec![set]).await.unwrap();
    world.identity.change(|state| state.with_password.clear());
    let late = organisations
        .create_organisation(creation("acme.example", 3))
        .await
        .unwrap();
    assert_eq!(late.into_inner().link_token, "");
    assert_eq!(world.identity.state().mails.len(), 2);
    let mut other = creation("acme.example", 4);
    assert_eq!(
        organisations
            .create_organisation(other.clone())
            .await
            .reason(),
        "idempotency.conflict"
    );
    other.idempotency_key.clear();
    assert_eq!(
        organisations.create_organisation(other).await.reason(),
        "idempotency.required"
    );
}

async fn what_cannot_be_an_organisation_is_refused(world: World) {
    let mut organisations = world.organisations();
    let refusal = organisations
        .create_organisation(pb::CreateOrganisationRequest {
            administrator_email: "ada@gmail.com".into(),
            time_zone: "Mars/Olympus".into(),
            plan_expires_at: Some(sallyport_chassis::clock::to_proto(
                crate::world::START.parse().unwrap(),
            )),
            idempotency_key: "k".into(),
            ..pb::CreateOrganisationRequest::default()
        })
        .await
        .refusal();
    assert_eq!(refusal.code, Code::InvalidArgument);
    let fields: Vec<(&str, &str)> = refusal
        .fields
        .iter()
        .map(|(f, r)| (f.as_str(), r.as_str()))
        .collect();
    assert_eq!(
        fields,
        [
            ("administrator_email", "domain.public_provider"),
            ("name", "field.required"),
            ("first_name", "field.required"),
            ("last_name", "field.required"),
            ("locale", "field.required"),
            ("time_zone", "time_zone.unknown"),
            ("plan", "field.required"),
            ("seats", "field.required"),
            ("plan_expires_at", "field.invalid"),
        ]
    );
    let own_public = organisations
        .create_organisation(creation("isp.example", 1))
        .await;
    assert_eq!(own_public.reason(), "domain.public_provider");

    organisations
        .create_organisation(creation("acme.example", 3))
        .await
        .unwrap();
    let mut same = creation("acme.example", 3);
    same.idempotency_key = "other".into();
    assert_eq!(
        organisations
            .create_organisation(same.clone())
            .await
            .reason(),
        "email.exists"
    );
    same.administrator_email = "other@acme.example".into();
    let refusal = organisations.create_organisation(same).await.refusal();
    assert_eq!(
        (refusal.reason.as_str(), refusal.code),
        ("domain.taken", Code::AlreadyExists)
    );
    let listed = organisations
        .list_organisations(pb::ListOrganisationsRequest {})
        .await
        .unwrap();
    assert_eq!(
        listed.into_inner().organisations.len(),
        1,
        "a refused request changes nothing"
    );
}

async fn two_creations_of_one_domain_at_once_make_one(world: World) {
    let tries = (0..8).map(|n| {
        let mut organisations = world.organisations();
        // Four under one key, four under keys of their own.
        let mut request = creation("acme.example", 3);
        if n % 2 == 1 {
            request.idempotency_key = format!("key-{n}");
            request.administrator_email = format!("admin-{n}@acme.example");
        }
        async move { organisations.create_organisation(request).await }
    });
    let outcomes = futures::future::join_all(tries).await;
    let mut made = std::collections::BTreeSet::new();
    for outcome in outcomes {
        match outcome {
            Ok(answer) => {
                made.insert(answer.into_inner().organisation_id);
            }
            refused => assert_eq!(refused.reason(), "domain.taken"),
        }
    }
    assert_eq!(made.len(), 1);
}

async fn operators_approve_domains(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let other = world.organisation("rival.example", 3).await;
    let approve = |organisation_id: &str, domain: &str, note: &str| {
        let request = pb::ApproveDomainRequest {
            organisation_id: organisation_id.to_owned(),
            domain: domain.to_owned(),
            note: note.to_owned(),
        };
        let mut domains = world.domains(Peer::Operator("mia".into()));
        async move { domains.approve_domain(request).await }
    };
    let approved = approve(&org.id, "BÜCHER.example", "letter of 2 May")
        .await
        .unwrap()
        .into_inner();
    assert_eq!(approved.domain.unwrap().domain, "xn--bcher-kva.example");
    // Again is harmless.
    approve(&org.id, "bücher.example", "letter of 2 May")
        .await
        .unwrap();
    for (organisation, domain, note, reason) in [
        (
            other.id.as_str(),
            "bücher.example",
            "letter",
            "domain.taken",
        ),
        (&org.id, "gmail.com", "letter", "domain.public_provider"),
        (&org.id, "192.0.2.1", "letter", "domain.invalid"),
        (&org.id, "a@b.example", "letter", "domain.invalid"),
        (&org.id, "example", "letter", "domain.invalid"),
        (&org.id, "new.example", "", "field.required"),
        (
            &uuid::Uuid::nil().to_string(),
            "new.example",
            "letter",
            "organisation.not_found",
        ),
        ("x", "new.example", "letter", "organisation.not_found"),
    ] {
        assert_eq!(
            approve(organisation, domain, note).await.reason(),
            reason,
            "{domain}"
        );
    }
    assert!(world.verify(&org).await.is_intact());
}
