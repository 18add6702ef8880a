//! A route over SMPP 3.4.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures::StreamExt;
use sallyport_chassis::Clock;
use sallyport_phone::PhoneNumber;
use sallyport_smpp::{
    Address, Answer, Bind, BindState, Class, Delivery, Event, Finality, Part, Password, Receipt,
    Receipts, RequestError, SessionConfig, SubmitOutcome, SubmitRequest, Tls, classify, text,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::SmppRouteConfig;
use crate::ports::{MessageStore, ReceiptState, Record, SmsRoute, Submission};

/// How long a late answer is waited for after the response time-out.
const LATE_ANSWER: Duration = Duration::from_secs(3);
/// Receipts that wait for the store; beyond them the carrier is told to try again later.
const RECEIPTS_WAITING: usize = 1_024;
/// Receipts that are being stored at a time.
const RECEIPTS_AT_ONCE: usize = 16;

/// The parts that a request has and could do without.
#[derive(Clone, Copy)]
struct Parts {
    validity: bool,
    receipts: bool,
}

/// A bind to a carrier.
pub struct SmppRoute {
    name: String,
    bind: Bind,
    source: Address,
    longest_send: Duration,
    /// Cleared once the carrier turns out to refuse it.
    validity: AtomicBool,
    receipts: AtomicBool,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
}

impl SmppRoute {
    /// Starts to bind, and returns at once. Receipts go to `store` before they are answered. The
    /// bind lives until [`SmppRoute::shutdown`].
    ///
    /// # Errors
    /// Settings that no carrier could accept; files that cannot be read.
    pub fn start(
        config: &SmppRouteConfig,
        store: Arc<dyn MessageStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let session = session(config).with_context(|| format!("otp.routes: {}", config.name))?;
        let source =
            source(config).with_context(|| format!("otp.routes: source of {}", config.name))?;
        let longest_send = session.slot_timeout + session.response_timeout + LATE_ANSWER;
        let (deliveries, arriving) = mpsc::channel(RECEIPTS_WAITING);
        let bind = Bind::start(session, deliveries, &CancellationToken::new())
            .with_context(|| format!("otp.routes: {}", config.name))?;
        let tasks = TaskTracker::new();
        tasks.spawn(keep_receipts(
            config.name.clone(),
            arriving,
            store,
            Arc::clone(&clock),
        ));
        tasks.close();
        Ok(Self {
            name: config.name.clone(),
            bind,
            source,
            longest_send,
            validity: AtomicBool::new(config.validity),
            receipts: AtomicBool::new(true),
            clock,
            tasks,
        })
    }

    /// What the bind is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<BindState> {
        self.bind.state()
    }

    /// How long a submission may take at most.
    pub fn longest_send(&self) -> Duration {
        self.longest_send
    }

    /// Takes no more messages, waits at most `grace` for those in flight, unbinds, and stores the
    /// receipts that came.
    pub async fn shutdown(&self, grace: Duration) {
        self.bind.shutdown(grace).await;
        self.tasks.wait().await;
    }

    fn request(
        &self,
        number: &PhoneNumber,
        text: &str,
        deadline_at: i64,
        with: Parts,
    ) -> Result<SubmitRequest, RequestError> {
        // One part, so the reference that would join several does not matter.
        let mut parts = text::segments(text, 0).map_err(|_| RequestError::Message)?;
        let (Some(only), true) = (parts.pop(), parts.is_empty()) else {
            return Err(RequestError::Message);
        };
        let to = Address::international(number.e164())?;
        let mut request = SubmitRequest::text(self.source.clone(), to, only)?;
        if !with.receipts {
            request = request.receipts(Receipts::None);
        }
        if with.validity {
            let left = deadline_at.saturating_sub(self.clock.now_ms());
            request = request.validity(Duration::from_millis(u64::try_from(left).unwrap_or(0)))?;
        }
        Ok(request)
    }

    /// Remembers that the carrier refuses a part; whether the refused request had it.
    fn refuses(&self, part: Part, with: Parts) -> bool {
        let (had, flag) = match part {
            Part::Validity => (with.validity, &self.validity),
            Part::RegisteredDelivery => (with.receipts, &self.receipts),
            // Never sent.
            Part::Priority | Part::Schedule | Part::Tlvs => return false,
        };
        if had && flag.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                route = self.name,
                ?part,
                "the carrier refuses a part: sent without it"
            );
        }
        had
    }

    /// What an answer means; `None`: the same again, without what was refused.
    fn read(&self, answer: Answer, with: Parts) -> Option<Submission> {
        let refused = |reason: &str| Submission::RefusedByRoute {
            reason: reason.to_owned(),
        };
        let status = answer.command_status;
        Some(match classify(status) {
            Class::Accepted => Submission::Accepted {
                carrier_id: answer.message_id.unwrap_or_default(),
            },
            Class::TryAnother | Class::Bind(_) => Submission::Busy,
            Class::OtherRoute { .. } => refused("carrier_refused"),
            Class::Permanent => Submission::RefusedForGood {
                reason: "number_refused".to_owned(),
            },
            Class::Configuration {
                without: Some(part),
            }
            | Class::ResendWithout(part)
                if self.refuses(part, with) =>
            {
                return None;
            }
            Class::Configuration { .. } | Class::ResendWithout(_) => {
                tracing::error!(
                    route = self.name,
                    status,
                    "the carrier refuses how we write messages: its settings need a look"
                );
                refused("route_misconfigured")
            }
            Class::Ambiguous => Submission::Unanswered,
            Class::FreeRetry => Submission::NotWritten,
        })
    }
}

#[async_trait]
impl SmsRoute for SmppRoute {
    fn name(&self) -> &str {
        &self.name
    }

    #[tracing::instrument(name = "submit_sm", skip_all, fields(route = self.name, message_id))]
    async fn submit(
        &self,
        record: Record<'_>,
        message_id: &str,
        number: &PhoneNumber,
        text: &str,
        deadline_at: i64,
    ) -> Submission {
        let mut record = Some(record);
        loop {
            // Also where the carrier is not told how long it may try (rule 34).
            if deadline_at <= self.clock.now_ms() {
                return Submission::NotWritten;
            }
            let with = Parts {
                validity: self.validity.load(Ordering::Relaxed),
                receipts: self.receipts.load(Ordering::Relaxed),
            };
            let request = match self.request(number, text, deadline_at, with) {
                Ok(request) => request,
                // Less than a second is left: it expires.
                Err(RequestError::Validity) => return Submission::NotWritten,
                Err(error) => {
                    tracing::error!(message_id, %error, "the message cannot be written in SMPP");
                    return Submission::RefusedForGood {
                        reason: "not_encodable".to_owned(),
                    };
                }
            };
            let before: Record<'_> = match record.take() {
                Some(record) => record,
                // Written already, and refused for one of its parts.
                None => Box::pin(ready(true)),
            };
            let answer = match self.bind.submit_after(&request, before).await {
                SubmitOutcome::NotWritten(why) => {
                    tracing::debug!(?why, "not written");
                    return Submission::NotWritten;
                }
                SubmitOutcome::Unanswered(unanswered) => {
                    let why = unanswered.reason();
                    match unanswered.late(LATE_ANSWER).await {
                        Some(answer) => answer,
                        None => {
                            tracing::warn!(message_id, ?why, "written, and no answer");
                            return Submission::Unanswered;
                        }
                    }
                }
                SubmitOutcome::Answered(answer) => answer,
            };
            if let Some(submission) = self.read(answer, with) {
                return submission;
            }
        }
    }
}

fn session(config: &SmppRouteConfig) -> Result<SessionConfig> {
    let password = Password::new(config.read_password()?.expose());
    let (name, host) = (config.name.clone(), config.host.clone());
    let mut session =
        SessionConfig::new(name, host, config.port, config.system_id.clone(), password);
    session.system_type = config.system_type.clone();
    session.window = config.window;
    session.response_timeout = Duration::from_secs(u64::from(config.response_timeout_seconds));
    if config.tls {
        let path = config
            .tls_ca_file
            .as_deref()
            .context("tls needs tls_ca_file")?;
        let pem = std::fs::read(path)
            .with_context(|| format!("tls_ca_file {} cannot be read", path.display()))?;
        let mut tls = Tls::trusting(&pem)?;
        if let Some(name) = &config.tls_server_name {
            tls = tls.server_name(name);
        }
        session.tls = Some(tls);
    }
    Ok(session)
}

/// The sender with the type and plan of its form, where the settings name no others.
fn source(config: &SmppRouteConfig) -> Result<Address, RequestError> {
    let value = config.source.strip_prefix('+').unwrap_or(&config.source);
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let (ton, npi) = match (digits, value.len() < config.source.len()) {
        (true, true) => (1, 1),
        (true, false) => (3, 0),
        (false, _) => (5, 0),
    };
    let ton = config.source_ton.unwrap_or(ton);
    if ton == 5 && value.len() > 11 {
        return Err(RequestError::Address);
    }
    Address::new(ton, config.source_npi.unwrap_or(npi), value)
}

/// Stores receipts, and answers each once it is stored.
async fn keep_receipts(
    route: String,
    arriving: mpsc::Receiver<Delivery>,
    store: Arc<dyn MessageStore>,
    clock: Arc<dyn Clock>,
) {
    ReceiverStream::new(arriving)
        .for_each_concurrent(RECEIPTS_AT_ONCE, |delivery| async {
            let Delivery {
                event,
                acknowledgement,
            } = delivery;
            let receipt = match event {
                Event::Receipt(receipt) => receipt,
                Event::Inbound(inbound) => {
                    metrics::counter!("sms_inbound_total", "route" => route.clone()).increment(1);
                    tracing::info!(route, ?inbound, "a person wrote to us");
                    acknowledgement.durable();
                    return;
                }
            };
            let Some(state) = state(&receipt) else {
                acknowledgement.durable();
                return;
            };
            let stored = store
                .receipt(&route, &receipt.message_id, state, clock.now_ms())
                .await;
            match stored {
                Ok(()) => acknowledgement.durable(),
                // Dropped, the acknowledgement asks the carrier to send the receipt again.
                Err(error) => {
                    tracing::warn!(
                        route,
                        error = &error as &dyn std::error::Error,
                        "a receipt was not stored"
                    );
                }
            }
        })
        .await;
}

/// `None` for a receipt that says nothing.
fn state(receipt: &Receipt) -> Option<ReceiptState> {
    match receipt.state.finality() {
        Finality::Delivered => Some(ReceiptState::Delivered),
        Finality::Failed => {
            let reason = format!("{:?}", receipt.state).to_ascii_lowercase();
            Some(ReceiptState::Failed(format!("carrier_{reason}")))
        }
        Finality::Intermediate => Some(ReceiptState::Intermediate),
        Finality::Nothing => None,
    }
}
