use sallyport_proto::admin::v1 as pb;
use tonic::Code;

use crate::on_both;
use crate::world::{Org, Reason, World, by};

on_both!(
    a_profile_is_stored_in_its_stored_form_and_told_to_identity,
    every_field_error_comes_at_once_and_nothing_is_saved,
    a_stale_edit_is_refused_and_a_double_save_is_not,
    of_many_edits_of_one_version_one_is_saved,
);

async fn read(world: &World, org: &Org) -> pb::Profile {
    world
        .profiles()
        .get_profile(by(&org.token, pb::GetProfileRequest {}))
        .await
        .unwrap()
        .into_inner()
        .profile
        .unwrap()
}

fn update(
    world: &World,
    org: &Org,
    fields: pb::ProfileFields,
    version: u64,
) -> impl Future<Output = Result<tonic::Response<pb::UpdateProfileResponse>, tonic::Status>> + use<>
{
    let request = by(
        &org.token,
        pb::UpdateProfileRequest {
            fields: Some(fields),
            version,
        },
    );
    let mut profiles = world.profiles();
    async move { profiles.update_profile(request).await }
}

async fn a_profile_is_stored_in_its_stored_form_and_told_to_identity(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let before = read(&world, &org).await;
    let mut fields = before.fields.unwrap();
    fields.first_name = " Ada-Élise ".into();
    fields.mobile_number = "+33 6 12 34 56 78".into();
    fields.default_sms_country = "fr".into();
    fields.time_zone = "europe/paris".into();
    fields.date_format = "day_first".into();
    fields.locale = "fr".into();
    let saved = update(&world, &org, fields, before.version)
        .await
        .unwrap()
        .into_inner();
    let saved = saved.profile.unwrap();
    assert_eq!(saved, read(&world, &org).await);
    assert_eq!(saved.version, before.version + 1);
    let fields = saved.fields.unwrap();
    assert_eq!(fields.first_name, "Ada-Élise");
    assert_eq!(fields.mobile_number, "+33612345678");
    assert_eq!(fields.default_sms_country, "FR");
    assert_eq!(fields.time_zone, "Europe/Paris");
    world
        .identity
        .until("identity is told of the new name", |state| {
            let told = &state.users[&org.admin];
            told.locale == "fr" && told.context_words.contains(&"Ada-Élise".to_owned())
        })
        .await;
    let log = world.log_of(&org, &org.admin).await;
    let event = log[0].event.as_ref().unwrap();
    assert_eq!(event.r#type, "user_updated");
    assert_eq!(
        event.details["fields"],
        "first_name,mobile_number,default_sms_country,time_zone,date_format,locale"
    );
    assert_eq!(event.client_ip, "198.51.100.4");
    assert_eq!(event.user_agent, "Portal");
    assert!(
        !format!("{log:?}").contains("612345678"),
        "no number in the log"
    );
}

async fn every_field_error_comes_at_once_and_nothing_is_saved(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let before = read(&world, &org).await;
    let bad = pb::ProfileFields {
        first_name: "Still good".into(),
        last_name: "x".repeat(101),
        mobile_number: "06 12 34 56 78".into(),
        default_sms_country: "XX".into(),
        time_zone: "Paris".into(),
        date_format: "roman".into(),
        locale: "de".into(),
    };
    let validated = world
        .profiles()
        .validate_profile(by(
            &org.token,
            pb::ValidateProfileRequest {
                fields: Some(bad.clone()),
            },
        ))
        .await
        .refusal();
    let updated = update(&world, &org, bad, before.version).await.refusal();
    assert_eq!(validated, updated);
    assert_eq!(updated.code, Code::InvalidArgument);
    let reasons: Vec<&str> = updated
        .fields
        .iter()
        .map(|(_, reason)| reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "field.too_long",
            "phone.country_required",
            "country.unknown",
            "time_zone.unknown",
            "date_format.unknown",
            "locale.unknown",
        ]
    );
    assert_eq!(read(&world, &org).await, before);
    let none = by(&org.token, pb::ValidateProfileRequest { fields: None });
    assert_eq!(
        world.profiles().validate_profile(none).await.reason(),
        "field.required"
    );
    let good = by(
        &org.token,
        pb::ValidateProfileRequest {
            fields: before.fields,
        },
    );
    world.profiles().validate_profile(good).await.unwrap();
}

async fn a_stale_edit_is_refused_and_a_double_save_is_not(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let before = read(&world, &org).await;
    let mut first = before.fields.clone().unwrap();
    first.last_name = "Roy-Martin".into();
    update(&world, &org, first.clone(), before.version)
        .await
        .unwrap();
    let mut second = before.fields.unwrap();
    second.locale = "fr".into();
    let refusal = update(&world, &org, second, before.version).await.refusal();
    assert_eq!(
        (refusal.reason.as_str(), refusal.code),
        ("edit.conflict", Code::Aborted)
    );
    assert_eq!(refusal.get("version"), Some("2"));
    assert_eq!(refusal.get("fields"), Some("last_name,locale"));
    // The second click of a double click carries the same fields and the same version.
    let again = update(&world, &org, first, before.version)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.profile.unwrap().version, 2);
    let edits = world
        .log_of(&org, &org.admin)
        .await
        .iter()
        .filter(|e| e.event.as_ref().unwrap().r#type == "user_updated")
        .count();
    assert_eq!(edits, 1);
}

async fn of_many_edits_of_one_version_one_is_saved(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let before = read(&world, &org).await;
    let edits = (0..10).map(|n| {
        let mut fields = before.fields.clone().unwrap();
        fields.last_name = format!("Name {n}");
        update(&world, &org, fields, before.version)
    });
    let mut saved = 0;
    for outcome in futures::future::join_all(edits).await {
        match outcome {
            Ok(_) => saved += 1,
            refused => assert_eq!(refused.reason(), "edit.conflict"),
        }
    }
    assert_eq!(saved, 1);
    assert_eq!(read(&world, &org).await.version, before.version + 1);
}
