//! The three services behind the gateway. A client is made for each call: it is a handle on the
//! shared channel.

use sallyport_chassis::channel::Outgoing;
use sallyport_proto::admin::v1::domain_service_client::DomainServiceClient;
use sallyport_proto::admin::v1::event_service_client::EventServiceClient;
use sallyport_proto::admin::v1::licence_service_client::LicenceServiceClient;
use sallyport_proto::admin::v1::profile_service_client::ProfileServiceClient;
use sallyport_proto::admin::v1::user_service_client::UserServiceClient;
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::mail_inbox_service_client::MailInboxServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use sallyport_proto::identity::v1::{GetSessionRequest, Session, SessionStage};
use sallyport_proto::otp::v1::number_service_client::NumberServiceClient;
use sallyport_proto::otp::v1::sms_inbox_service_client::SmsInboxServiceClient;
use tonic::Code;

use crate::problem::Problem;
use crate::visitor::Visitor;

/// Channels to identity, otp-api and account-admin.
pub(crate) struct Clients {
    identity: Outgoing,
    otp: Outgoing,
    admin: Outgoing,
}

macro_rules! clients {
    ($($name:ident: $channel:ident => $client:ident,)*) => {
        $(
            pub(crate) fn $name(&self) -> $client<Outgoing> {
                $client::new(self.$channel.clone())
            }
        )*
    };
}

impl Clients {
    pub(crate) fn new(identity: Outgoing, otp: Outgoing, admin: Outgoing) -> Self {
        Self {
            identity,
            otp,
            admin,
        }
    }

    clients! {
        sign_in: identity => SignInServiceClient,
        code: identity => CodeServiceClient,
        password: identity => PasswordServiceClient,
        two_factor: identity => TwoFactorServiceClient,
        mail_inbox: identity => MailInboxServiceClient,
        number: otp => NumberServiceClient,
        sms_inbox: otp => SmsInboxServiceClient,
        profile: admin => ProfileServiceClient,
        user: admin => UserServiceClient,
        licence: admin => LicenceServiceClient,
        domain: admin => DomainServiceClient,
        event: admin => EventServiceClient,
    }

    /// The session of a visitor, whatever its stage.
    pub(crate) async fn session(&self, visitor: &Visitor) -> Result<Session, Problem> {
        if visitor.caller.bearer.is_none() {
            return Err(Problem::refused(Code::Unauthenticated, "session.required"));
        }
        let ask = visitor.ask(GetSessionRequest {});
        let answer = self.sign_in().get_session(ask).await?.into_inner();
        answer.session.ok_or(Problem::Failed(Code::Internal))
    }

    /// The session of a visitor who may bind a number: past both steps, or past the link with which a
    /// disabled factor is enrolled anew. Otp-api knows no sessions, so what it is asked for is asked
    /// for these alone.
    pub(crate) async fn session_that_may_enrol(
        &self,
        visitor: &Visitor,
    ) -> Result<Session, Problem> {
        let session = self.session(visitor).await?;
        if session.stage() == SessionStage::SignedIn || session.may_enrol {
            Ok(session)
        } else {
            Err(Problem::second_factor_required())
        }
    }
}
