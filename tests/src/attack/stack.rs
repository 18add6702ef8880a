//! What is attacked: the real servers and every service as a process, identity and otp-api twice.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::Refusal;
use sallyport_chassis::channel::{Outgoing, Propagate};
use sallyport_proto::identity::v1::ListMailsRequest;
use sallyport_proto::identity::v1::mail_inbox_service_client::MailInboxServiceClient;
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::{Binding, GetChallengeRequest, Purpose};
use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::person::Person;
use crate::processes::{Invited, Processes};

/// Settings of the services, as variables of their environment.
pub type Settings = &'static [(&'static str, &'static str)];

/// As delivered, but for logs: a line for each of a million refusals shows nothing.
pub const DEFAULTS: Settings = &[QUIET];

/// For whoever hammers one user: whatever else would stop him before what is attacked does not. Codes
/// may be sent without end, and the second step is locked as late as it can be, one guess before the
/// hundredth, and as briefly.
pub const HAMMERED: Settings = &[
    QUIET,
    ("OTP__RESEND_SECONDS", "0"),
    ("OTP__LIMITS__NUMBER__PER_HOUR", "2000"),
    ("OTP__LIMITS__NUMBER__PER_DAY", "2000"),
    ("OTP__LIMITS__USER__PER_HOUR", "2000"),
    ("OTP__LIMITS__USER__PER_DAY", "2000"),
    ("IDENTITY__SECOND_STEP__FAILURES_PER_LOCK", "99"),
    ("IDENTITY__SECOND_STEP__FIRST_LOCK_SECONDS", "30"),
];

/// The dispatcher says by a line of its log that it is ready.
const QUIET: (&str, &str) = ("TELEMETRY__LOG", "error,otp_dispatch=info");

/// How long something may take that will come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at it.
const PACE: Duration = Duration::from_millis(200);

/// Whose certificate an attacker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// None: somebody on the network.
    Nobody,
    /// "The internal gateway": any address can be claimed to be the client's.
    Gateway,
    /// The service that asks for codes and has them judged.
    Identity,
    /// The service that tells of users.
    AccountAdmin,
    /// An operator.
    Operator,
}

impl Holder {
    /// The name of the certificate's file, without its ending.
    fn file(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Gateway => Some("gateway"),
            Self::Identity => Some("identity"),
            Self::AccountAdmin => Some("account-admin"),
            Self::Operator => Some("operator"),
        }
    }
}

/// Connections; neighbours lead to different processes of a service.
pub type Wires = Arc<[Outgoing]>;

/// The connection for a guess, so that guesses spread over all of them.
pub fn pick(wires: &[Outgoing], number: u64) -> &Outgoing {
    &wires[number as usize % wires.len()]
}

/// The running system.
pub struct Stack {
    /// Its processes and servers.
    pub processes: Processes,
    /// What was numbered so far: people, phones.
    numbered: u64,
    front: Wires,
}

impl Stack {
    /// Starts everything.
    pub async fn start(settings: Settings) -> Result<Self> {
        let processes = Processes::start_doubled(settings).await?;
        let front = wires(
            &processes,
            &processes.identity_addresses(),
            Holder::Gateway,
            1,
        )?;
        Ok(Self {
            processes,
            numbered: 0,
            front,
        })
    }

    /// So many connections to each identity.
    pub fn identity(&self, holder: Holder, each: usize) -> Result<Wires> {
        let addresses = self.processes.identity_addresses();
        wires(&self.processes, &addresses, holder, each)
    }

    /// So many connections to each otp-api.
    pub fn otp(&self, holder: Holder, each: usize) -> Result<Wires> {
        let addresses = self.processes.otp_addresses();
        wires(&self.processes, &addresses, holder, each)
    }

    /// A connection to account-admin.
    pub fn account_admin(&self, holder: Holder) -> Result<Outgoing> {
        let address = self.processes.account_admin_address();
        wire(&self.processes, &address, holder, None)
    }

    /// A connection to identity without a certificate, from an address of this machine.
    pub fn identity_from(&self, address: Ipv4Addr) -> Result<Outgoing> {
        let identity = self.processes.identity_address();
        wire(
            &self.processes,
            &identity,
            Holder::Nobody,
            Some(address.into()),
        )
    }

    /// A number that was not given out yet.
    pub fn number_anew(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// The phone of that number.
    pub fn phone(number: u64) -> String {
        format!("+3361{number:07}")
    }

    /// Somebody invited, with an organisation of his own.
    pub async fn invited(&mut self) -> Result<Invited> {
        let number = self.number_anew();
        let email = format!("admin@attacked-{number}.example");
        self.processes
            .organisation(&format!("attacked-{number}"), &email)
            .await
    }

    /// Somebody with two-factor authentication on, at an address of his own.
    pub async fn enrolled(&mut self) -> Result<Person> {
        let invited = self.invited().await?;
        let number = self.number_anew();
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number as u32);
        Person::enrol(
            &self.processes.smsc,
            pick(&self.front, number),
            invited.email,
            invited.link_token,
            Self::phone(number),
            address.to_string(),
        )
        .await
    }

    /// Several of them.
    pub async fn crowd(&mut self, people: u64) -> Result<Vec<Person>> {
        let mut crowd = Vec::new();
        for _ in 0..people {
            crowd.push(self.enrolled().await?);
        }
        Ok(crowd)
    }

    /// The token of the link in a mail to this address with this subject. Mails lie in the memory of
    /// the process that sent them, so both are asked.
    pub async fn mailed_link(&self, email: &str, subject: &str) -> Result<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            for wire in self.front.iter() {
                let request = Request::new(ListMailsRequest {
                    to: email.to_owned(),
                    wait_seconds: 0,
                    after: 0,
                });
                let answer = MailInboxServiceClient::new(wire.clone())
                    .list_mails(request)
                    .await?;
                let mails = answer.into_inner().mails;
                if let Some(mail) = mails.iter().rfind(|mail| mail.subject == subject) {
                    let (_, after) = mail.text.split_once("/link/").context("no link in it")?;
                    let token = after.split_whitespace().next();
                    return Ok(token.context("no token in it")?.to_owned());
                }
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "no mail {subject:?} to {email}"
            );
            tokio::time::sleep(PACE).await;
        }
    }

    /// Waits until every otp-api reaches its store: until then an attempt is refused as trouble.
    pub async fn store_reached(&self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for wire in self.otp(Holder::Identity, 1)?.iter() {
            let mut client = ChallengeServiceClient::new(wire.clone());
            loop {
                let nothing = GetChallengeRequest {
                    challenge_id: "nothing".to_owned(),
                    binding: Some(Binding {
                        purpose: Purpose::SignIn.into(),
                        user_id: "nobody".to_owned(),
                        session_id: "none".to_owned(),
                        number: Self::phone(0),
                    }),
                };
                match client.get_challenge(nothing).await {
                    Ok(_) => break,
                    Err(status) if Refusal::from_status(&status).is_some() => break,
                    Err(status) => ensure!(
                        tokio::time::Instant::now() < deadline,
                        "the store is not reached: {status:?}"
                    ),
                }
                tokio::time::sleep(PACE).await;
            }
        }
        Ok(())
    }
}

/// So many connections to each of the addresses, in turn.
fn wires(
    processes: &Processes,
    addresses: &[String],
    holder: Holder,
    each: usize,
) -> Result<Wires> {
    (0..each)
        .flat_map(|_| addresses)
        .map(|address| wire(processes, address, holder, None))
        .collect()
}

/// A connection with mutual TLS, or without a certificate of the caller's. No call has a deadline: an
/// attacker waits for his answers.
fn wire(
    processes: &Processes,
    address: &str,
    holder: Holder,
    from: Option<IpAddr>,
) -> Result<Outgoing> {
    let pem = |name: &str| {
        std::fs::read(processes.certificate(name)).with_context(|| format!("{name} cannot be read"))
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem("ca.pem")?));
    if let Some(name) = holder.file() {
        let (certificate, key) = (pem(&format!("{name}.pem"))?, pem(&format!("{name}.key"))?);
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let channel = Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .local_address(from)
        .tcp_nodelay(true)
        .connect_lazy();
    Ok(InterceptedService::new(channel, Propagate))
}
