//! Notices that cannot be switched off (rule 40): by mail, and by SMS to the number concerned. Both
//! leave through the outbox, written in the transaction that they tell of.

use prost::Message;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::{Refusal, clock};
use sallyport_phone::PhoneNumber;
use sallyport_proto::otp::v1 as otp_proto;
use sallyport_proto::otp::v1::SendNoticeRequest;
use sallyport_proto::otp::v1::notice_service_client::NoticeServiceClient;
use sallyport_sql::outbox::{self, Relay, Row};
use sallyport_sql::{StoreError, Transaction};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{App, mail};
use crate::domain::mail_text::Notice;
use crate::store::users;

/// The outbox topic of notices by SMS.
pub const TOPIC: &str = "notices";

/// Tells the user, by mail and at each of the numbers. Call `app.outbox_wake.notify_one()` after the
/// commit.
pub(super) async fn tell(
    txn: &Transaction,
    app: &App,
    user: &users::Model,
    notice: Notice,
    numbers: impl IntoIterator<Item = &PhoneNumber>,
) -> Result<(), StoreError> {
    mail::put_notice(txn, app, user.id, notice).await?;
    let Some(by_sms) = by_sms(notice) else {
        return Ok(());
    };
    tell_by_sms(txn, app, user, by_sms, numbers).await
}

/// Tells each of the numbers, and the mailbox nothing.
pub(super) async fn tell_by_sms(
    txn: &Transaction,
    app: &App,
    user: &users::Model,
    notice: otp_proto::Notice,
    numbers: impl IntoIterator<Item = &PhoneNumber>,
) -> Result<(), StoreError> {
    for number in numbers {
        let id = clock::new_id(&*app.clock);
        let request = SendNoticeRequest {
            idempotency_key: id.to_string(),
            notice: notice.into(),
            number: number.e164().to_owned(),
            locale: user.locale.clone(),
        };
        outbox::put(txn, id, TOPIC, request.encode_to_vec(), app.clock.now_ms()).await?;
    }
    Ok(())
}

/// What concerns the password goes by mail alone.
fn by_sms(notice: Notice) -> Option<otp_proto::Notice> {
    use otp_proto::Notice as Sms;
    match notice {
        Notice::PasswordChanged | Notice::SignInClosed => None,
        Notice::TwoFactorEnabled => Some(Sms::TwoFactorOn),
        Notice::TwoFactorDisabled => Some(Sms::TwoFactorOff),
        Notice::NumberChanged => Some(Sms::NumberChanged),
        Notice::RecoveryCodeUsed => Some(Sms::RecoveryCodeUsed),
        Notice::RecoveryCodesRemade => Some(Sms::RecoveryCodesRemade),
        Notice::SecondStepLocked => Some(Sms::FactorLocked),
        Notice::SecondStepDisabled => Some(Sms::FactorDisabled),
        Notice::BrowserRemembered => Some(Sms::BrowserRemembered),
        Notice::PhoneLost => Some(Sms::PhoneLost),
        Notice::AuthenticatorAdded => Some(Sms::AuthenticatorAdded),
        Notice::AuthenticatorRemoved => Some(Sms::AuthenticatorRemoved),
        Notice::PasskeyAdded => Some(Sms::PasskeyAdded),
        Notice::PasskeyRemoved => Some(Sms::PasskeyRemoved),
        Notice::PasskeyCopied => Some(Sms::PasskeyCopied),
    }
}

/// Hands notices to otp-api until `stop`.
pub async fn relay(app: App, stop: CancellationToken) {
    let relay = Relay::new(
        app.database.clone(),
        TOPIC,
        app.clock.clone(),
        app.outbox_wake.notices.clone(),
    );
    relay.run(stop, |rows| deliver(app.otp.clone(), rows)).await;
}

/// Repeating is harmless, since each notice carries its key. One that otp-api refuses for good is
/// dropped, or it would be put forever.
async fn deliver(otp: Outgoing, rows: Vec<Row>) -> Result<(), Status> {
    let mut client = NoticeServiceClient::new(otp);
    for row in rows {
        let Ok(request) = SendNoticeRequest::decode(row.payload.as_slice()) else {
            tracing::error!(row = %row.id, "a notice cannot be read and is dropped");
            continue;
        };
        if let Err(status) = client.send_notice(request).await {
            match Refusal::from_status(&status) {
                Some(refusal) if refusal.retry_after.is_none() => {
                    tracing::warn!(
                        row = %row.id,
                        reason = refusal.reason,
                        "a notice is refused for good and is dropped"
                    );
                }
                _ => return Err(status),
            }
        }
    }
    Ok(())
}
