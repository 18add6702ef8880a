//! Who may call what.

use sallyport_chassis::{Access, CallerTable};

const ROWS: &[(&str, Access)] = &[
    (
        "/sallyport.identity.v1.SignInService/SignIn",
        Access::Public,
    ),
    (
        "/sallyport.identity.v1.SignInService/SignOut",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.SignInService/GetSession",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.SignInService/ListSessions",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.SignInService/RevokeSessions",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.PasswordService/ConfirmPassword",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.PasswordService/ChangePassword",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.PasswordService/RequestPasswordReset",
        Access::Public,
    ),
    (
        "/sallyport.identity.v1.PasswordService/InspectLink",
        Access::Public,
    ),
    (
        "/sallyport.identity.v1.PasswordService/SetPasswordByLink",
        Access::Public,
    ),
    (
        "/sallyport.identity.v1.CodeService/SendSignInCode",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/SendStepUpCode",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/GetChallenge",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/WatchChallenge",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/VerifyCode",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/ResendCode",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/CancelChallenge",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/UseRecoveryCode",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/SendEnrolmentLink",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/UseEnrolmentLink",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/ReportPhoneLost",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/GetTwoFactor",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/EnableTwoFactor",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/ChangeNumber",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/DisableTwoFactor",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/RemakeRecoveryCodes",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/ListBrowsers",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/RevokeBrowsers",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/ListFactors",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/UseAuthenticatorCode",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/BeginPasskeyUse",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.CodeService/UsePasskey",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/BeginPasskey",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/ConfirmPasskey",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/RenamePasskey",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/RemovePasskey",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/BeginAuthenticator",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/ConfirmAuthenticator",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.TwoFactorService/RemoveAuthenticator",
        Access::Bearer,
    ),
    (
        "/sallyport.identity.v1.ProjectionService/PutUser",
        Access::Services(&["account-admin"]),
    ),
    (
        "/sallyport.identity.v1.ProjectionService/InviteUser",
        Access::Services(&["account-admin"]),
    ),
    (
        "/sallyport.identity.v1.ProjectionService/StartPasswordReset",
        Access::Services(&["account-admin"]),
    ),
    (
        "/sallyport.identity.v1.MailInboxService/ListMails",
        Access::Services(&["gateway"]),
    ),
];

/// The table of this service.
pub fn table() -> CallerTable {
    CallerTable::new("gateway", ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn every_rpc_of_the_package_has_a_row_and_no_row_is_for_another() {
        let files = prost_types::FileDescriptorSet::decode(sallyport_proto::DESCRIPTORS)
            .unwrap()
            .file;
        let mut rpcs: Vec<String> = files
            .iter()
            .filter(|file| file.package() == "sallyport.identity.v1")
            .flat_map(|file| &file.service)
            .flat_map(|service| {
                service
                    .method
                    .iter()
                    .map(|rpc| format!("/sallyport.identity.v1.{}/{}", service.name(), rpc.name()))
            })
            .collect();
        let mut rows: Vec<&str> = ROWS.iter().map(|(path, _)| *path).collect();
        rpcs.sort();
        rows.sort_unstable();
        assert_eq!(rows, rpcs);
    }
}
