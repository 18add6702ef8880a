//! account-admin.

use sallyport_chassis::clock::to_proto;
use sallyport_chassis::{Clock, Refusal, SystemClock};
use sallyport_proto::admin::v1::domain_service_server::{DomainService, DomainServiceServer};
use sallyport_proto::admin::v1::event_service_server::{EventService, EventServiceServer};
use sallyport_proto::admin::v1::licence_service_server::{LicenceService, LicenceServiceServer};
use sallyport_proto::admin::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use sallyport_proto::admin::v1::user_service_server::{UserService, UserServiceServer};
use sallyport_proto::admin::v1::*;
use tonic::transport::server::Router;
use tonic::{Code, Request, Response, Status};

use super::{Fakes, refused};

type Answer<T> = Result<Response<T>, Status>;

pub fn add(fakes: &Fakes, router: Router) -> Router {
    router
        .add_service(ProfileServiceServer::new(fakes.clone()))
        .add_service(UserServiceServer::new(fakes.clone()))
        .add_service(LicenceServiceServer::new(fakes.clone()))
        .add_service(DomainServiceServer::new(fakes.clone()))
        .add_service(EventServiceServer::new(fakes.clone()))
}

#[tonic::async_trait]
impl ProfileService for Fakes {
    async fn get_profile(&self, r: Request<GetProfileRequest>) -> Answer<GetProfileResponse> {
        let (world, _) = self.take_signed_in("GetProfile", &r, "")?;
        Ok(Response::new(GetProfileResponse {
            profile: Some(world.profile.clone()),
        }))
    }

    async fn validate_profile(
        &self,
        r: Request<ValidateProfileRequest>,
    ) -> Answer<ValidateProfileResponse> {
        drop(self.take_signed_in("ValidateProfile", &r, "")?);
        let fields = r.into_inner().fields.unwrap_or_default();
        if fields.first_name.chars().count() > 100 {
            return Err(Refusal::field("first_name", "field.too_long").into());
        }
        Ok(Response::new(ValidateProfileResponse {}))
    }

    async fn update_profile(
        &self,
        r: Request<UpdateProfileRequest>,
    ) -> Answer<UpdateProfileResponse> {
        let (mut world, _) = self.take_signed_in("UpdateProfile", &r, "")?;
        if r.get_ref().version != world.profile.version {
            return Err(refused(Code::Aborted, "edit.conflict"));
        }
        world.profile.fields = r.into_inner().fields;
        world.profile.version += 1;
        Ok(Response::new(UpdateProfileResponse {
            profile: Some(world.profile.clone()),
        }))
    }
}

fn row(id: &str, email: &str, first: &str, last: &str, state: UserState) -> UserRow {
    let active = state == UserState::Active;
    UserRow {
        user_id: id.into(),
        email: email.into(),
        first_name: first.into(),
        last_name: last.into(),
        state: state.into(),
        licence: active.then(|| Licence {
            plan_id: "p1".into(),
            plan_name: "Business Standard".into(),
            expires_at: None,
        }),
        two_factor_active: active,
        last_sign_in_at: active.then(|| to_proto(SystemClock.now())),
        role_groups: Vec::new(),
        restorable_until: (state == UserState::Deleted).then(|| to_proto(SystemClock.now())),
    }
}

fn fields() -> UserFields {
    UserFields {
        profile: Some(ProfileFields {
            first_name: "Benoît".into(),
            last_name: "Tremblay".into(),
            mobile_number: "+33612345678".into(),
            default_sms_country: "FR".into(),
            time_zone: "Europe/Paris".into(),
            date_format: "iso".into(),
            locale: "fr".into(),
        }),
        role_group_ids: vec!["g1".into()],
        disabled: false,
        two_factor_required: false,
    }
}

/// What a change asks for, in short.
fn asked(request: &UpdateUserRequest) -> String {
    let fields = request.fields.clone().unwrap_or_default();
    let profile = fields.profile.unwrap_or_default();
    format!(
        "{} {} {} {} disabled={} required={} v{}",
        request.user_id,
        profile.first_name,
        profile.mobile_number,
        fields.role_group_ids.join(","),
        fields.disabled,
        fields.two_factor_required,
        request.version
    )
}

#[tonic::async_trait]
impl UserService for Fakes {
    async fn list_users(&self, r: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        let search = r.get_ref().search.clone();
        drop(self.take_signed_in("ListUsers", &r, &search)?);
        let mut users = vec![
            row(
                "u1",
                "ada@example.org",
                "Ada",
                "Marchand",
                UserState::Active,
            ),
            row(
                "u2",
                "benoit@example.org",
                "Benoît",
                "Tremblay",
                UserState::Active,
            ),
            row(
                "u3",
                "chiara.long.address@surveying.example.org",
                "",
                "",
                UserState::Invited,
            ),
            row(
                "u4",
                "dev@example.org",
                "Dev",
                "<script>alert(1)</script>",
                UserState::Disabled,
            ),
        ];
        if r.get_ref().state() == UserState::Deleted {
            let state = UserState::Deleted;
            users = vec![row("u5", "erin@example.org", "Erin", "Roy", state)];
        }
        users.retain(|user| user.email.starts_with(&search));
        let next_page_token = if search.is_empty() {
            "page-2".to_owned()
        } else {
            String::new()
        };
        Ok(Response::new(ListUsersResponse {
            users,
            next_page_token,
        }))
    }

    async fn get_user(&self, r: Request<GetUserRequest>) -> Answer<GetUserResponse> {
        let id = r.get_ref().user_id.clone();
        drop(self.take_signed_in("GetUser", &r, &id)?);
        if !id.starts_with('u') {
            return Err(refused(Code::NotFound, "user.not_found"));
        }
        let user = row(
            &id,
            "benoit@example.org",
            "Benoît",
            "Tremblay",
            UserState::Active,
        );
        Ok(Response::new(GetUserResponse {
            user: Some(user),
            fields: Some(fields()),
            version: 7,
        }))
    }

    async fn update_user(&self, r: Request<UpdateUserRequest>) -> Answer<UpdateUserResponse> {
        let detail = asked(r.get_ref());
        drop(self.take_signed_in("UpdateUser", &r, &detail)?);
        if r.get_ref().version != 7 {
            return Err(refused(Code::Aborted, "edit.conflict"));
        }
        let user = row("u2", "benoit@example.org", "Benoît", "", UserState::Active);
        Ok(Response::new(UpdateUserResponse {
            user: Some(user),
            fields: r.into_inner().fields,
            version: 8,
        }))
    }

    async fn delete_user(&self, r: Request<DeleteUserRequest>) -> Answer<DeleteUserResponse> {
        let detail = format!("{} {}", r.get_ref().user_id, r.get_ref().email);
        drop(self.take_signed_in("DeleteUser", &r, &detail)?);
        if r.get_ref().email != "benoit@example.org" {
            return Err(Refusal::field("email", "email.mismatch").into());
        }
        Ok(Response::new(DeleteUserResponse {
            restorable_until: Some(to_proto(SystemClock.now())),
        }))
    }

    async fn restore_user(&self, r: Request<RestoreUserRequest>) -> Answer<RestoreUserResponse> {
        let id = r.get_ref().user_id.clone();
        drop(self.take_signed_in("RestoreUser", &r, &id)?);
        let user = row(&id, "erin@example.org", "Erin", "Roy", UserState::Active);
        Ok(Response::new(RestoreUserResponse { user: Some(user) }))
    }

    async fn list_role_groups(
        &self,
        r: Request<ListRoleGroupsRequest>,
    ) -> Answer<ListRoleGroupsResponse> {
        drop(self.take_signed_in("ListRoleGroups", &r, "")?);
        let group = |id: &str, name: &str, built_in| RoleGroup {
            role_group_id: id.into(),
            name: name.into(),
            permissions: vec!["user_management".into()],
            built_in,
        };
        let role_groups = vec![
            group("g1", "Administrators", true),
            group("g2", "Readers", false),
        ];
        Ok(Response::new(ListRoleGroupsResponse { role_groups }))
    }

    async fn start_password_reset(
        &self,
        r: Request<StartPasswordResetRequest>,
    ) -> Answer<StartPasswordResetResponse> {
        let user = r.get_ref().user_id.clone();
        drop(self.take_signed_in("StartPasswordReset", &r, &user)?);
        Ok(Response::new(StartPasswordResetResponse {}))
    }

    async fn add_user(&self, r: Request<AddUserRequest>) -> Answer<AddUserResponse> {
        let key = r.get_ref().idempotency_key.clone();
        drop(self.take_signed_in("AddUser", &r, &key)?);
        if r.get_ref().email.ends_with("@elsewhere.example") {
            return Err(Refusal::field("email", "email.domain_not_approved").into());
        }
        let email = r.get_ref().email.to_lowercase();
        let user = row("u9", &email, "", "", UserState::Invited);
        Ok(Response::new(AddUserResponse {
            user: Some(user),
            link_token: "spl_invitation".into(),
        }))
    }
}

#[tonic::async_trait]
impl LicenceService for Fakes {
    async fn list_plans(&self, r: Request<ListPlansRequest>) -> Answer<ListPlansResponse> {
        drop(self.take_signed_in("ListPlans", &r, "")?);
        let plan = |id: &str, name: &str, purchased, assigned| Plan {
            plan_id: id.into(),
            name: name.into(),
            purchased,
            assigned,
            expires_at: Some(to_proto(SystemClock.now())),
        };
        let plans = vec![
            plan("p1", "Business Standard", 25, 25),
            plan("p2", "Business Premium", 10, 4),
            plan("p3", "Full", 3, 3),
        ];
        Ok(Response::new(ListPlansResponse { plans }))
    }

    async fn assign_licence(
        &self,
        r: Request<AssignLicenceRequest>,
    ) -> Answer<AssignLicenceResponse> {
        let detail = format!("{} {}", r.get_ref().user_id, r.get_ref().plan_id);
        drop(self.take_signed_in("AssignLicence", &r, &detail)?);
        Ok(Response::new(AssignLicenceResponse {}))
    }
}

#[tonic::async_trait]
impl DomainService for Fakes {
    async fn list_domains(&self, r: Request<ListDomainsRequest>) -> Answer<ListDomainsResponse> {
        drop(self.take_signed_in("ListDomains", &r, "")?);
        let domain = |name: &str, state: DomainState| Domain {
            domain: name.into(),
            state: state.into(),
            verified_at: (state == DomainState::Verified).then(|| to_proto(SystemClock.now())),
        };
        let domains = vec![
            domain("example.org", DomainState::Verified),
            domain("example.net", DomainState::Pending),
        ];
        Ok(Response::new(ListDomainsResponse { domains }))
    }

    async fn approve_domain(
        &self,
        _: Request<ApproveDomainRequest>,
    ) -> Answer<ApproveDomainResponse> {
        Err(Status::unimplemented("the gateway does not call it"))
    }
}

#[tonic::async_trait]
impl EventService for Fakes {
    async fn append_events(&self, _: Request<AppendEventsRequest>) -> Answer<AppendEventsResponse> {
        Err(Status::unimplemented("the gateway does not call it"))
    }

    async fn list_events(&self, r: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let user = r.get_ref().user_id.clone();
        drop(self.take_signed_in("ListEvents", &r, &user)?);
        let event = |sequence, kind: &str, result: EventResult, reason: &str| LoggedEvent {
            event: Some(Event {
                event_id: format!("e{sequence}"),
                occurred_at: Some(to_proto(SystemClock.now())),
                r#type: kind.into(),
                result: result.into(),
                actor: "u1".into(),
                reason: reason.into(),
                client_ip: "198.51.100.7".into(),
                request_id: format!("request-{sequence}"),
                ..Default::default()
            }),
            sequence,
            actor_name: "Ada Marchand".into(),
            target_name: "Ada Marchand".into(),
        };
        let events = vec![
            event(4, "two_factor_enabled", EventResult::Success, ""),
            event(
                3,
                "authn_second_factor_fail",
                EventResult::Refused,
                "code.wrong",
            ),
            event(2, "code_sent", EventResult::Success, ""),
            event(1, "authn_login_success", EventResult::Success, ""),
        ];
        Ok(Response::new(ListEventsResponse {
            events,
            next_page_token: String::new(),
        }))
    }
}
