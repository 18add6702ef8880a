//! Who may call what.

use sallyport_chassis::Access;

const IDENTITY: Access = Access::Services(&["identity"]);
const NUMBERS: Access = Access::Services(&["gateway", "identity", "account-admin"]);

/// The services, for health.
pub(super) const SERVICES: &[&str] = &[
    "sallyport.otp.v1.ChallengeService",
    "sallyport.otp.v1.NumberService",
    "sallyport.otp.v1.NoticeService",
    "sallyport.otp.v1.GuardService",
];

/// RPC → who may call it.
pub(super) const ROWS: &[(&str, Access)] = &[
    (
        "/sallyport.otp.v1.ChallengeService/CreateChallenge",
        IDENTITY,
    ),
    (
        "/sallyport.otp.v1.ChallengeService/VerifyChallenge",
        IDENTITY,
    ),
    (
        "/sallyport.otp.v1.ChallengeService/ResendChallenge",
        IDENTITY,
    ),
    (
        "/sallyport.otp.v1.ChallengeService/CancelChallenge",
        IDENTITY,
    ),
    ("/sallyport.otp.v1.ChallengeService/GetChallenge", IDENTITY),
    (
        "/sallyport.otp.v1.ChallengeService/WatchChallenge",
        IDENTITY,
    ),
    ("/sallyport.otp.v1.NoticeService/SendNotice", IDENTITY),
    ("/sallyport.otp.v1.NumberService/ValidateNumber", NUMBERS),
    ("/sallyport.otp.v1.NumberService/ListCountries", NUMBERS),
    (
        "/sallyport.otp.v1.GuardService/ListDecisions",
        Access::Operator,
    ),
    (
        "/sallyport.otp.v1.GuardService/ListOverrides",
        Access::Operator,
    ),
    (
        "/sallyport.otp.v1.GuardService/SetOverride",
        Access::Operator,
    ),
    (
        "/sallyport.otp.v1.GuardService/RemoveOverride",
        Access::Operator,
    ),
    (
        "/sallyport.otp.v1.SmsInboxService/ListSms",
        Access::Services(&["gateway"]),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;

    #[test]
    fn every_rpc_of_the_package_has_a_row_and_every_row_an_rpc() {
        let set = prost_types::FileDescriptorSet::decode(sallyport_proto::DESCRIPTORS).unwrap();
        let mut rpcs = BTreeSet::new();
        for file in set
            .file
            .iter()
            .filter(|file| file.package() == "sallyport.otp.v1")
        {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    rpcs.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
        let rows: BTreeSet<String> = ROWS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(rows, rpcs);
        assert_eq!(rows.len(), ROWS.len());
    }
}
