//! `NoticeService`.

use std::sync::Arc;

use sallyport_chassis::IdempotencyKey;
use sallyport_phone::PhoneNumber;
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::notice_service_server::NoticeService;
use tonic::{Request, Response, Status};

use super::binding::optional;
use crate::app::send_notice::SendNotice;
use crate::app::{Otp, OtpError};
use crate::domain::template::Notice;

pub(super) struct Notices(pub(super) Arc<Otp>);

#[tonic::async_trait]
impl NoticeService for Notices {
    async fn send_notice(
        &self,
        request: Request<pb::SendNoticeRequest>,
    ) -> Result<Response<pb::SendNoticeResponse>, Status> {
        let request = request.into_inner();
        let notice = notice(request.notice).ok_or(OtpError::Field {
            field: "notice",
            reason: "field.required",
        })?;
        let message_id = self
            .0
            .send_notice(SendNotice {
                idempotency_key: IdempotencyKey::parse(request.idempotency_key)?,
                notice,
                number: PhoneNumber::parse_e164(&request.number).map_err(OtpError::from)?,
                locale: optional("locale", request.locale)?,
            })
            .await?;
        Ok(Response::new(pb::SendNoticeResponse { message_id }))
    }
}

fn notice(notice: i32) -> Option<Notice> {
    match pb::Notice::try_from(notice).ok()? {
        pb::Notice::Unspecified => None,
        pb::Notice::TwoFactorOn => Some(Notice::TwoFactorOn),
        pb::Notice::TwoFactorOff => Some(Notice::TwoFactorOff),
        pb::Notice::NumberChanged => Some(Notice::NumberChanged),
        pb::Notice::RecoveryCodeUsed => Some(Notice::RecoveryCodeUsed),
        pb::Notice::RecoveryCodesRemade => Some(Notice::RecoveryCodesRemade),
        pb::Notice::FactorLocked => Some(Notice::FactorLocked),
        pb::Notice::BrowserRemembered => Some(Notice::BrowserRemembered),
        pb::Notice::FactorReset => Some(Notice::FactorReset),
        pb::Notice::FactorDisabled => Some(Notice::FactorDisabled),
        pb::Notice::EnrolmentLink => Some(Notice::EnrolmentLink),
        pb::Notice::PhoneLost => Some(Notice::PhoneLost),
        pb::Notice::AuthenticatorAdded => Some(Notice::AuthenticatorAdded),
        pb::Notice::AuthenticatorRemoved => Some(Notice::AuthenticatorRemoved),
        pb::Notice::PasskeyAdded => Some(Notice::PasskeyAdded),
        pb::Notice::PasskeyRemoved => Some(Notice::PasskeyRemoved),
        pb::Notice::PasskeyCopied => Some(Notice::PasskeyCopied),
    }
}
