//! What a person may do (rule 70), and which RPC needs it: the one table of this service.

use std::collections::BTreeSet;

/// A permission, as role groups grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Name, policy and other settings of the organisation.
    BusinessManagement,
    /// Invoices and payment.
    Billing,
    /// Ordering seats.
    Purchase,
    /// Reading users' events.
    Logs,
    /// Reading administrators' events.
    AdministratorLogs,
    /// Claiming and withdrawing e-mail domains.
    DomainManagement,
    /// Adding, editing and removing users, and their seats.
    UserManagement,
    /// Editing role groups, and who is in them.
    Roles,
    /// Resetting the second factor of an administrator.
    AdministratorSecurity,
}

impl Permission {
    /// All of them, as the built-in group "Administrators" holds them.
    pub const ALL: [Self; 9] = [
        Self::BusinessManagement,
        Self::Billing,
        Self::Purchase,
        Self::Logs,
        Self::AdministratorLogs,
        Self::DomainManagement,
        Self::UserManagement,
        Self::Roles,
        Self::AdministratorSecurity,
    ];

    /// The name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::BusinessManagement => "business_management",
            Self::Billing => "billing",
            Self::Purchase => "purchase",
            Self::Logs => "logs",
            Self::AdministratorLogs => "administrator_logs",
            Self::DomainManagement => "domain_management",
            Self::UserManagement => "user_management",
            Self::Roles => "roles",
            Self::AdministratorSecurity => "administrator_security",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// A set of permissions; stored as their names with a space between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionSet(BTreeSet<Permission>);

impl PermissionSet {
    /// Every permission.
    pub fn all() -> Self {
        Self(Permission::ALL.into())
    }

    /// Reads the stored form. A name that this release does not know grants nothing: a newer
    /// release may have written it.
    pub fn parse(stored: &str) -> Self {
        Self(
            stored
                .split_ascii_whitespace()
                .filter_map(Permission::from_name)
                .collect(),
        )
    }

    /// The stored form.
    pub fn stored(&self) -> String {
        self.names().join(" ")
    }

    /// The names.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|p| p.name()).collect()
    }

    /// Whether the permission is granted.
    pub fn holds(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everything that the other set grants is granted: nobody gives or takes what he does not
    /// hold himself (rule 70).
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// Adds what another group grants.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Who may call an RPC, and what a person needs for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The named services.
    Services(&'static [&'static str]),
    /// Operators.
    Operator,
    /// Everybody signed in, about himself.
    Own,
    /// Everybody signed in, about himself; about others, who holds the permission.
    OwnOr(Permission),
    /// Who holds the permission.
    Needs(Permission),
}

/// RPC → rule. An RPC that stands not here is closed.
pub const RULES: &[(&str, Rule)] = &[
    (rpc::CREATE_ORGANISATION, Rule::Operator),
    (rpc::LIST_ORGANISATIONS, Rule::Operator),
    (rpc::GET_PROFILE, Rule::Own),
    (rpc::VALIDATE_PROFILE, Rule::Own),
    (rpc::UPDATE_PROFILE, Rule::Own),
    (rpc::LIST_USERS, Rule::Needs(Permission::UserManagement)),
    (rpc::GET_USER, Rule::Needs(Permission::UserManagement)),
    (rpc::ADD_USER, Rule::Needs(Permission::UserManagement)),
    (
        rpc::START_PASSWORD_RESET,
        Rule::Needs(Permission::UserManagement),
    ),
    (rpc::UPDATE_USER, Rule::Needs(Permission::UserManagement)),
    (rpc::DELETE_USER, Rule::Needs(Permission::UserManagement)),
    (rpc::RESTORE_USER, Rule::Needs(Permission::UserManagement)),
    (
        rpc::LIST_ROLE_GROUPS,
        Rule::Needs(Permission::UserManagement),
    ),
    (rpc::LIST_PLANS, Rule::Needs(Permission::UserManagement)),
    (rpc::ASSIGN_LICENCE, Rule::Needs(Permission::UserManagement)),
    (rpc::LIST_DOMAINS, Rule::Needs(Permission::DomainManagement)),
    (rpc::APPROVE_DOMAIN, Rule::Operator),
    (rpc::APPEND_EVENTS, Rule::Services(&["identity", "otp-api"])),
    (rpc::LIST_EVENTS, Rule::OwnOr(Permission::Logs)),
];

/// The rule of an RPC.
pub fn rule(path: &str) -> Option<Rule> {
    RULES.iter().find(|(p, _)| *p == path).map(|(_, r)| *r)
}

/// Paths of the RPCs.
#[allow(missing_docs, reason = "each constant is named after its RPC")]
pub mod rpc {
    macro_rules! path {
        ($service:literal, $method:literal) => {
            concat!("/sallyport.admin.v1.", $service, "/", $method)
        };
    }
    pub const CREATE_ORGANISATION: &str = path!("OrganisationService", "CreateOrganisation");
    pub const LIST_ORGANISATIONS: &str = path!("OrganisationService", "ListOrganisations");
    pub const GET_PROFILE: &str = path!("ProfileService", "GetProfile");
    pub const VALIDATE_PROFILE: &str = path!("ProfileService", "ValidateProfile");
    pub const UPDATE_PROFILE: &str = path!("ProfileService", "UpdateProfile");
    pub const LIST_USERS: &str = path!("UserService", "ListUsers");
    pub const GET_USER: &str = path!("UserService", "GetUser");
    pub const ADD_USER: &str = path!("UserService", "AddUser");
    pub const START_PASSWORD_RESET: &str = path!("UserService", "StartPasswordReset");
    pub const UPDATE_USER: &str = path!("UserService", "UpdateUser");
    pub const DELETE_USER: &str = path!("UserService", "DeleteUser");
    pub const RESTORE_USER: &str = path!("UserService", "RestoreUser");
    pub const LIST_ROLE_GROUPS: &str = path!("UserService", "ListRoleGroups");
    pub const LIST_PLANS: &str = path!("LicenceService", "ListPlans");
    pub const ASSIGN_LICENCE: &str = path!("LicenceService", "AssignLicence");
    pub const LIST_DOMAINS: &str = path!("DomainService", "ListDomains");
    pub const APPROVE_DOMAIN: &str = path!("DomainService", "ApproveDomain");
    pub const APPEND_EVENTS: &str = path!("EventService", "AppendEvents");
    pub const LIST_EVENTS: &str = path!("EventService", "ListEvents");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_survive_the_store_and_unknown_names_grant_nothing() {
        let all = PermissionSet::all();
        assert_eq!(PermissionSet::parse(&all.stored()), all);
        let some = PermissionSet::parse("logs fly_to_the_moon billing");
        assert_eq!(some.names(), ["billing", "logs"]);
        assert!(!some.holds(Permission::UserManagement));
    }

    #[test]
    fn a_set_covers_what_it_grants_and_nothing_more() {
        let some = PermissionSet::parse("logs user_management");
        assert!(some.covers(&PermissionSet::default()));
        assert!(some.covers(&PermissionSet::parse("logs")));
        assert!(!some.covers(&PermissionSet::parse("logs roles")));
        assert!(PermissionSet::all().covers(&some));
    }
}
