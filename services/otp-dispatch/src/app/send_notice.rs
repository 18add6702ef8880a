//! Security notices (rule 40). They stand outside the caps.

use sallyport_chassis::IdempotencyKey;
use sallyport_phone::PhoneNumber;

use super::binding::idempotency;
use super::publish::Content;
use super::{Otp, OtpError, seconds_ms};
use crate::domain::message::Class;
use crate::domain::template::Notice;
use crate::ports::Accepted;

/// A notice to be sent.
#[derive(Debug)]
pub struct SendNotice {
    /// The caller's key.
    pub idempotency_key: IdempotencyKey,
    /// Which.
    pub notice: Notice,
    /// To whom.
    pub number: PhoneNumber,
    /// BCP 47.
    pub locale: String,
}

impl Otp {
    /// Queues a notice; answers with its message id.
    #[tracing::instrument(skip_all, fields(notice = request.notice.name()))]
    pub async fn send_notice(&self, request: SendNotice) -> Result<String, OtpError> {
        let now = self.clock.now_ms();
        let number = request.number.e164().as_bytes();
        let idempotency = idempotency(
            &self.keys.lookup,
            // Notices come from identity's outbox, whose keys are its own.
            ["notice", ""],
            request.idempotency_key.as_str(),
            &[
                request.notice.name().as_bytes(),
                number,
                request.locale.as_bytes(),
            ],
        );
        let message = self.seal(Content {
            challenge_id: None,
            class: Class::Notice,
            accepted_at: now,
            deadline_at: now + seconds_ms(self.settings.notice_seconds),
            number: &request.number,
            text: &self.templates.notice(&request.locale, request.notice),
        });
        let accepted = self
            .messages
            .accept_notice(&idempotency.key, &idempotency.body_hash, &message, now)
            .await?;
        match accepted {
            Accepted::New => {
                self.publish(&message).await?;
                Ok(message.message_id)
            }
            Accepted::Repeated {
                message_id,
                unconfirmed,
            } => {
                if let Some(message) = unconfirmed {
                    self.publish(&message).await?;
                }
                Ok(message_id)
            }
            Accepted::Conflict => Err(OtpError::IdempotencyConflict),
        }
    }
}
