//! `SmsInboxService`: the development inbox.

use std::time::Duration;

use sallyport_chassis::clock::{from_ms, to_proto};
use sallyport_phone::PhoneNumber;
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::sms_inbox_service_server::SmsInboxService;
use tonic::{Request, Response, Status};

use crate::adapters::route_inbox::SmsInbox;
use crate::app::OtpError;

/// The longest wait; calls between services end after ten seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(9);

pub(super) struct Inbox(pub(super) SmsInbox);

#[tonic::async_trait]
impl SmsInboxService for Inbox {
    async fn list_sms(
        &self,
        request: Request<pb::ListSmsRequest>,
    ) -> Result<Response<pb::ListSmsResponse>, Status> {
        let request = request.into_inner();
        let to = match request.to.as_str() {
            "" => None,
            to => Some(PhoneNumber::parse_e164(to).map_err(OtpError::from)?),
        };
        let wait = Duration::from_secs(u64::from(request.wait_seconds)).min(LONGEST_WAIT);
        let found = self
            .0
            .wait(to.as_ref(), u64::from(request.after), wait)
            .await;
        let messages = found
            .into_iter()
            .map(|message| pb::Sms {
                to: message.to.e164().to_owned(),
                text: message.text,
                at: Some(to_proto(from_ms(message.at))),
                sequence: u32::try_from(message.sequence).unwrap_or(u32::MAX),
            })
            .collect();
        Ok(Response::new(pb::ListSmsResponse { messages }))
    }
}
