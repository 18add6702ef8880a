//! What has more than one real implementation.

use async_trait::async_trait;

/// A mail of plain text.
#[derive(Clone)]
pub struct Mail {
    /// The address it goes to.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub text: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Address and text are personal, and the text may hold a link.
        f.write_str("Mail(•••)")
    }
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It may leave later.
    #[error("the mail route is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It never will: the address or the mail is refused.
    #[error("the mail is refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where mails go.
#[async_trait]
pub trait MailRoute: Send + Sync + 'static {
    /// Hands a mail over. When it returns `Ok`, the next in the chain has it.
    async fn send(&self, mail: &Mail) -> Result<(), MailError>;
}
