//! Mail by SMTP submission (RFC 6409), over TLS of rustls.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use crate::config::{MailSettings, SmtpEncryption};
use crate::ports::{Mail, MailError, MailRoute};

/// How long one exchange with the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A submission server and the sender's address. Connections are kept for further mails.
pub struct SmtpRoute {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpRoute {
    /// Prepares the route; connects with the first mail.
    pub fn new(settings: &MailSettings) -> Result<Self> {
        let smtp = &settings.smtp;
        let parameters = || {
            TlsParameters::new_rustls(smtp.host.clone())
                .context("identity.mail.smtp.host cannot be used for TLS")
        };
        let tls = match smtp.encryption {
            SmtpEncryption::Starttls => Tls::Required(parameters()?),
            SmtpEncryption::Tls => Tls::Wrapper(parameters()?),
            SmtpEncryption::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if !smtp.username.is_empty() {
            builder = builder.credentials(Credentials::new(
                smtp.username.clone(),
                smtp.password.expose().to_owned(),
            ));
        }
        Ok(Self {
            transport: builder.build(),
            from: settings
                .from
                .parse()
                .context("identity.mail.from is not `Name <address>`")?,
        })
    }
}

#[async_trait]
impl MailRoute for SmtpRoute {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let to: Mailbox = mail
            .to
            .parse()
            .map_err(|error| MailError::Refused(Box::new(error)))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|error| MailError::Refused(Box::new(error)))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            // 5xx to this mail. The connection's own trouble (also a refused log-in, which an
            // operator can mend) is not the mail's.
            Err(error) if error.is_permanent() && is_about_the_mail(&error) => {
                Err(MailError::Refused(Box::new(error)))
            }
            Err(error) => Err(MailError::Unavailable(Box::new(error))),
        }
    }
}

/// Replies 530 to 539 are about authentication (RFC 4954, RFC 3207).
fn is_about_the_mail(error: &lettre::transport::smtp::Error) -> bool {
    error
        .status()
        .is_none_or(|code| !(530..540).contains(&u16::from(code)))
}
