//! Fuzz target of everything that a caller can send to a service: the requests of every RPC.

use std::fmt::Debug;

use prost::Message;

macro_rules! requests {
    ($($package:ident { $($name:ident,)+ })+) => {
        /// Every request, by its full name, and what reads it and writes it again.
        const REQUESTS: &[(&str, fn(&[u8]))] = &[$($(
            (
                concat!("sallyport.", stringify!($package), ".v1.", stringify!($name)),
                reread::<sallyport_proto::$package::v1::$name>,
            ),
        )+)+];
    };
}

requests! {
    admin {
        AddUserRequest,
        AppendEventsRequest,
        ApproveDomainRequest,
        AssignLicenceRequest,
        CreateOrganisationRequest,
        DeleteUserRequest,
        GetProfileRequest,
        GetUserRequest,
        ListDomainsRequest,
        ListEventsRequest,
        ListOrganisationsRequest,
        ListPlansRequest,
        ListRoleGroupsRequest,
        ListUsersRequest,
        RestoreUserRequest,
        StartPasswordResetRequest,
        UpdateProfileRequest,
        UpdateUserRequest,
        ValidateProfileRequest,
    }
    identity {
        BeginAuthenticatorRequest,
        BeginPasskeyRequest,
        BeginPasskeyUseRequest,
        CancelChallengeRequest,
        ChangeNumberRequest,
        ChangePasswordRequest,
        ConfirmAuthenticatorRequest,
        ConfirmPasskeyRequest,
        ConfirmPasswordRequest,
        DisableTwoFactorRequest,
        EnableTwoFactorRequest,
        GetChallengeRequest,
        GetSessionRequest,
        GetTwoFactorRequest,
        InspectLinkRequest,
        InviteUserRequest,
        ListBrowsersRequest,
        ListFactorsRequest,
        ListMailsRequest,
        ListSessionsRequest,
        PutUserRequest,
        RemakeRecoveryCodesRequest,
        RemoveAuthenticatorRequest,
        RemovePasskeyRequest,
        RenamePasskeyRequest,
        ReportPhoneLostRequest,
        RequestPasswordResetRequest,
        ResendCodeRequest,
        RevokeBrowsersRequest,
        RevokeSessionsRequest,
        SendEnrolmentLinkRequest,
        SendSignInCodeRequest,
        SendStepUpCodeRequest,
        SetPasswordByLinkRequest,
        SignInRequest,
        SignOutRequest,
        StartPasswordResetRequest,
        UseAuthenticatorCodeRequest,
        UseEnrolmentLinkRequest,
        UsePasskeyRequest,
        UseRecoveryCodeRequest,
        VerifyCodeRequest,
        WatchChallengeRequest,
    }
    otp {
        CancelChallengeRequest,
        CreateChallengeRequest,
        GetChallengeRequest,
        ListCountriesRequest,
        ListDecisionsRequest,
        ListOverridesRequest,
        ListSmsRequest,
        RemoveOverrideRequest,
        ResendChallengeRequest,
        SendNoticeRequest,
        SetOverrideRequest,
        ValidateNumberRequest,
        VerifyChallengeRequest,
        WatchChallengeRequest,
    }
}

/// Octets as each of the requests. What is read is written as what reads as itself.
///
/// # Panics
/// Where that does not hold.
pub fn requests(data: &[u8]) {
    for (_, reread) in REQUESTS {
        reread(data);
    }
}

fn reread<T: Message + Default + PartialEq + Debug>(data: &[u8]) {
    let Ok(read) = T::decode(data) else {
        return;
    };
    let written = read.encode_to_vec();
    let again = T::decode(written.as_slice()).expect("what we write we can read");
    assert_eq!(again, read);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_request_of_the_protos_is_tried() {
        let files = FileDescriptorSet::decode(sallyport_proto::DESCRIPTORS).unwrap();
        let services = files.file.iter().flat_map(|file| &file.service);
        let asked: BTreeSet<&str> = services
            .flat_map(|service| &service.method)
            .map(|method| method.input_type().trim_start_matches('.'))
            .collect();
        let tried: BTreeSet<&str> = REQUESTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(tried, asked);
    }

    #[test]
    fn no_request_breaks_a_promise() {
        sallyport_fuzz::check("requests", requests);
    }
}
