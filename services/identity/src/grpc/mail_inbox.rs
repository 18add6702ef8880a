//! `sallyport.identity.v1.MailInboxService`, in development.

use std::sync::Arc;
use std::time::Duration;

use sallyport_chassis::clock::to_proto;
use sallyport_proto::identity::v1::mail_inbox_service_server::MailInboxService;
use sallyport_proto::identity::v1::{ListMailsRequest, ListMailsResponse, Mail};
use tonic::{Request, Response, Status};

use crate::adapters::mail_inbox::MailInbox;

/// The longest wait, as the proto says.
const LONGEST_WAIT: u32 = 30;

/// The service.
pub struct Inbox {
    inbox: Arc<MailInbox>,
}

impl Inbox {
    /// Over the inbox that mails go to.
    pub fn new(inbox: Arc<MailInbox>) -> Self {
        Self { inbox }
    }
}

#[tonic::async_trait]
impl MailInboxService for Inbox {
    async fn list_mails(
        &self,
        request: Request<ListMailsRequest>,
    ) -> Result<Response<ListMailsResponse>, Status> {
        let ListMailsRequest {
            to,
            wait_seconds,
            after,
        } = request.into_inner();
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let longest = Duration::from_secs(wait_seconds.min(LONGEST_WAIT).into());
        let found = tokio::time::timeout(longest, self.inbox.wait(&to, after))
            .await
            .unwrap_or_else(|_| self.inbox.list(&to, after));
        let mails = found
            .into_iter()
            .map(|kept| Mail {
                to: kept.mail.to,
                subject: kept.mail.subject,
                text: kept.mail.text,
                at: Some(to_proto(kept.at)),
            })
            .collect();
        Ok(Response::new(ListMailsResponse { mails }))
    }
}
