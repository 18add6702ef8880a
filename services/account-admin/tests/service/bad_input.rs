//! Bad input: each refusal by code, reason and field, and that it has changed nothing.

use std::collections::HashMap;

use sallyport_chassis::{Peer, Refusal};
use sallyport_proto::admin::v1 as pb;
use sallyport_proto::identity::v1 as pb_identity;
use tonic::Code;

use crate::on_both;
use crate::world::{Org, Reason, World, addition, by};

on_both!(
    each_bad_field_of_a_profile_is_named_and_none_is_saved,
    who_cannot_be_added_is_told_why_at_the_field,
    what_cannot_be_done_to_a_user_is_told_and_not_done,
    a_list_that_is_asked_for_wrongly_names_the_field,
);

/// `field` is empty where the refusal is about none.
fn assert_refused(refusal: Refusal, code: Code, reason: &str, field: &str) {
    let fields: Vec<(String, String)> = match field {
        "" => Vec::new(),
        field => vec![(field.to_owned(), reason.to_owned())],
    };
    assert_eq!(
        (refusal.code, refusal.reason.as_str(), refusal.fields),
        (code, reason, fields)
    );
}

/// What a refused request must leave as it is.
#[derive(Debug, PartialEq)]
struct Kept {
    profile: pb::Profile,
    users: Vec<pb::UserRow>,
    plans: Vec<pb::Plan>,
    /// What identity was told of users, and whom it was to mail.
    told: HashMap<String, pb_identity::UserProjection>,
    invited: HashMap<String, String>,
    resets: Vec<String>,
    /// Events but those of refusals.
    events: usize,
}

async fn kept(world: &World, org: &Org) -> Kept {
    let profile = by(&org.token, pb::GetProfileRequest {});
    let profile = world.profiles().get_profile(profile).await.unwrap();
    let users = by(&org.token, pb::ListUsersRequest::default());
    let users = world.users().list_users(users).await.unwrap();
    let plans = by(&org.token, pb::ListPlansRequest {});
    let plans = world.licences().list_plans(plans).await.unwrap();
    let state = world.identity.state();
    let log = world.log_of(org, &org.admin).await;
    let done = log
        .iter()
        .filter_map(|logged| logged.event.as_ref())
        .filter(|event| event.r#type != "authz_fail");
    Kept {
        profile: profile.into_inner().profile.unwrap(),
        users: users.into_inner().users,
        plans: plans.into_inner().plans,
        told: state.users,
        invited: state.mails,
        resets: state.resets,
        events: done.count(),
    }
}

async fn each_bad_field_of_a_profile_is_named_and_none_is_saved(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let before = kept(&world, &org).await;
    let good = before.profile.fields.clone().unwrap();
    let long = "é".repeat(101);
    for (field, typed, reason) in [
        ("first_name", "", "field.required"),
        ("first_name", "  ", "field.required"),
        ("first_name", long.as_str(), "field.too_long"),
        ("first_name", "a\u{202e}b", "field.invalid"),
        ("last_name", "", "field.required"),
        ("last_name", long.as_str(), "field.too_long"),
        ("last_name", "a\nb", "field.invalid"),
        // Typed as the number, and mended by a country.
        ("country", "06 12 34 56 78", "phone.country_required"),
        ("mobile_number", "+33 6 12", "phone.invalid"),
        ("mobile_number", "+33 6 12 CALL", "phone.invalid"),
        (
            "mobile_number",
            "+33 1 42 68 53 00",
            "phone.not_sms_capable",
        ),
        ("default_sms_country", "XX", "country.unknown"),
        ("time_zone", "", "field.required"),
        ("time_zone", "Mars/Olympus", "time_zone.unknown"),
        ("date_format", "", "field.required"),
        ("date_format", "roman", "date_format.unknown"),
        ("locale", "", "field.required"),
        ("locale", "de", "locale.unknown"),
    ] {
        let mut fields = good.clone();
        // What is good beside it is not saved either.
        fields.first_name = "Augusta".into();
        let place = match field {
            "first_name" => &mut fields.first_name,
            "last_name" => &mut fields.last_name,
            "mobile_number" | "country" => &mut fields.mobile_number,
            "default_sms_country" => &mut fields.default_sms_country,
            "time_zone" => &mut fields.time_zone,
            "date_format" => &mut fields.date_format,
            _ => &mut fields.locale,
        };
        typed.clone_into(place);
        let fields = Some(fields);
        let validate = pb::ValidateProfileRequest {
            fields: fields.clone(),
        };
        let validated = world
            .profiles()
            .validate_profile(by(&org.token, validate))
            .await
            .refusal();
        let update = pb::UpdateProfileRequest {
            fields,
            version: before.profile.version,
        };
        let updated = world
            .profiles()
            .update_profile(by(&org.token, update))
            .await
            .refusal();
        assert_eq!(validated, updated);
        assert_refused(updated, Code::InvalidArgument, reason, field);
    }
    assert_eq!(kept(&world, &org).await, before);
}

async fn who_cannot_be_added_is_told_why_at_the_field(world: World) {
    // The one seat is the administrator's.
    let org = world.organisation("acme.example", 1).await;
    world.organisation("rival.example", 1).await;
    world.add(&org, "ann").await;
    let before = kept(&world, &org).await;
    let long = "x".repeat(101);
    let key = "k".repeat(129);
    type Bend<'a> = Box<dyn Fn(&mut pb::AddUserRequest) + 'a>;
    let bad: Vec<(Bend<'_>, Code, &str, &str)> = vec![
        (
            Box::new(|r| r.email = "bo".into()),
            Code::InvalidArgument,
            "email.invalid",
            "email",
        ),
        (
            Box::new(|r| r.email = "bo@elsewhere.example".into()),
            Code::InvalidArgument,
            "email.domain_not_approved",
            "email",
        ),
        (
            Box::new(|r| r.email = "bo@rival.example".into()),
            Code::InvalidArgument,
            "email.domain_not_approved",
            "email",
        ),
        (
            Box::new(|r| r.email = "ANN@Acme.example".into()),
            Code::AlreadyExists,
            "email.exists",
            "email",
        ),
        (
            Box::new(|r| r.first_name.clear()),
            Code::InvalidArgument,
            "field.required",
            "first_name",
        ),
        (
            Box::new(|r| r.last_name.clone_from(&long)),
            Code::InvalidArgument,
            "field.too_long",
            "last_name",
        ),
        (
            Box::new(|r| r.last_name = "a\u{0}b".into()),
            Code::InvalidArgument,
            "field.invalid",
            "last_name",
        ),
        (
            Box::new(|r| r.locale = "de".into()),
            Code::InvalidArgument,
            "locale.unknown",
            "locale",
        ),
        (
            Box::new(|r| r.time_zone = "Paris".into()),
            Code::InvalidArgument,
            "time_zone.unknown",
            "time_zone",
        ),
        (
            Box::new(|r| r.plan_id.clone_from(&org.plan)),
            Code::FailedPrecondition,
            "licence.none_available",
            "plan_id",
        ),
        (
            Box::new(|r| r.plan_id = uuid::Uuid::now_v7().to_string()),
            Code::NotFound,
            "plan.not_found",
            "",
        ),
        (
            Box::new(|r| r.idempotency_key.clear()),
            Code::InvalidArgument,
            "idempotency.required",
            "idempotency_key",
        ),
        (
            Box::new(|r| r.idempotency_key.clone_from(&key)),
            Code::InvalidArgument,
            "idempotency.invalid",
            "idempotency_key",
        ),
        (
            Box::new(|r| r.idempotency_key = "add-ann".into()),
            Code::AlreadyExists,
            "idempotency.conflict",
            "",
        ),
    ];
    for (bend, code, reason, field) in bad {
        let mut request = addition(&org, "bo");
        bend(&mut request);
        let added = world.users().add_user(by(&org.token, request)).await;
        assert_refused(added.refusal(), code, reason, field);
    }
    assert_eq!(kept(&world, &org).await, before);
    // Neither address nor key was used up.
    world.add(&org, "bo").await;
    assert!(world.verify(&org).await.is_intact());
}

async fn what_cannot_be_done_to_a_user_is_told_and_not_done(world: World) {
    let org = world.organisation("acme.example", 1).await;
    let invited = world.add(&org, "ann").await;
    let before = kept(&world, &org).await;
    let nobody = uuid::Uuid::now_v7().to_string();
    for (user, plan, code, reason, field) in [
        (
            &invited,
            &org.plan,
            Code::FailedPrecondition,
            "licence.none_available",
            "plan_id",
        ),
        (&invited, &nobody, Code::NotFound, "plan.not_found", ""),
        (&nobody, &org.plan, Code::NotFound, "user.not_found", ""),
    ] {
        let assign = pb::AssignLicenceRequest {
            user_id: user.clone(),
            plan_id: plan.clone(),
        };
        let assigned = world
            .licences()
            .assign_licence(by(&org.token, assign))
            .await;
        assert_refused(assigned.refusal(), code, reason, field);
    }
    for (user, code, reason) in [
        (&invited, Code::FailedPrecondition, "user.not_active"),
        (&nobody, Code::NotFound, "user.not_found"),
    ] {
        let user_id = user.clone();
        let reset = pb::StartPasswordResetRequest { user_id };
        let started = world
            .users()
            .start_password_reset(by(&org.token, reset))
            .await;
        assert_refused(started.refusal(), code, reason, "");
    }
    assert_eq!(kept(&world, &org).await, before);
}

async fn a_list_that_is_asked_for_wrongly_names_the_field(world: World) {
    let org = world.organisation("acme.example", 1).await;
    let before = kept(&world, &org).await;
    for (search, page_token, reason, field) in [
        ("a\u{0}", "", "field.invalid", "search"),
        ("x".repeat(255).as_str(), "", "field.invalid", "search"),
        ("", "00", "page_token.invalid", "page_token"),
        ("", "no token", "page_token.invalid", "page_token"),
    ] {
        let list = pb::ListUsersRequest {
            search: search.to_owned(),
            page_token: page_token.to_owned(),
            ..pb::ListUsersRequest::default()
        };
        let listed = world.users().list_users(by(&org.token, list)).await;
        assert_refused(listed.refusal(), Code::InvalidArgument, reason, field);
    }
    for (plan_id, role_group_id, field) in [("p", "", "plan_id"), ("", "g", "role_group_id")] {
        let list = pb::ListUsersRequest {
            plan_id: plan_id.to_owned(),
            role_group_id: role_group_id.to_owned(),
            ..pb::ListUsersRequest::default()
        };
        let listed = world.users().list_users(by(&org.token, list)).await;
        let refusal = listed.refusal();
        assert_refused(refusal, Code::InvalidArgument, "field.invalid", field);
    }
    let list = pb::ListEventsRequest {
        page_token: "00".to_owned(),
        ..pb::ListEventsRequest::default()
    };
    let listed = world
        .events(Peer::service("gateway"))
        .list_events(by(&org.token, list))
        .await;
    assert_refused(
        listed.refusal(),
        Code::InvalidArgument,
        "page_token.invalid",
        "page_token",
    );
    assert_eq!(kept(&world, &org).await, before);
}
