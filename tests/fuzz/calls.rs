//! Calls of any RPC with any octets, under the certificates that there are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use sallyport_chassis::Refusal;
use sallyport_chassis::channel::{Outgoing, connect};
use sallyport_chassis::config::{PeerConfig, TlsConfig};
use sallyport_fuzz::Bender;
use sallyport_proto::admin::v1::licence_service_client::LicenceServiceClient;
use sallyport_proto::admin::v1::organisation_service_client::OrganisationServiceClient;
use sallyport_proto::admin::v1::{CreateOrganisationRequest, ListPlansRequest};
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::{SetPasswordByLinkRequest, SignInRequest};
use sallyport_tests::processes::Processes;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use crate::schema::{Rpc, Schema};
use crate::values::Values;

pub const PASSWORD: &str = "granite otter walks 47 bridges";
/// Holders of a certificate that may call somebody.
const PEERS: [&str; 4] = ["gateway", "identity", "account-admin", "operator"];
/// No answer takes longer.
const HANGS: Duration = Duration::from_secs(9);
/// What ends a session or a user comes last in its round.
const ENDING: [&str; 6] = [
    "/ConfirmPassword",
    "/ChangePassword",
    "/RevokeSessions",
    "/SignOut",
    "/PutUser",
    "/AppendEvents",
];

/// Sends octets as they are, and looks at no answer.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, octets: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&octets);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }
}

/// An administrator of an organisation of his own, who has signed in.
pub struct Person {
    pub email: String,
    pub values: Values,
    token: String,
}

/// The ways into the services.
pub struct Doors {
    /// Package, and a channel under each certificate.
    services: Vec<(&'static str, Vec<(&'static str, Outgoing)>)>,
}

impl Doors {
    pub fn open(processes: &Processes) -> Result<Self> {
        let otp = processes.otp_addresses();
        let otp = otp.first().context("no otp-api")?.clone();
        let mut services = Vec::new();
        for (package, service, address) in [
            (
                "/sallyport.identity.v1.",
                "identity",
                processes.identity_address(),
            ),
            ("/sallyport.otp.v1.", "otp-api", otp),
            (
                "/sallyport.admin.v1.",
                "account-admin",
                processes.account_admin_address(),
            ),
        ] {
            let mut peers = Vec::new();
            for name in PEERS {
                let peer = PeerConfig {
                    url: format!("https://{address}"),
                    tls: Some(TlsConfig {
                        cert_file: processes.certificate(&format!("{name}.pem")),
                        key_file: processes.certificate(&format!("{name}.key")),
                        ca_file: processes.certificate("ca.pem"),
                    }),
                };
                peers.push((name, connect(&peer, service)?));
            }
            services.push((package, peers));
        }
        Ok(Self { services })
    }

    fn channel(&self, package: &str, peer: &str) -> Result<Outgoing> {
        let (_, peers) = self
            .services
            .iter()
            .find(|(known, _)| *known == package)
            .with_context(|| format!("no door of {package}"))?;
        let (_, channel) = peers
            .iter()
            .find(|(known, _)| *known == peer)
            .with_context(|| format!("no certificate of {peer}"))?;
        Ok(channel.clone())
    }

    /// Somebody new, which shows that the system works.
    pub async fn administrator(&self, round: u32) -> Result<Person> {
        let gateway = self.channel("/sallyport.identity.v1.", "gateway")?;
        let domain = format!("round-{round}.example");
        let email = format!("admin@{domain}");
        let operator = self.channel("/sallyport.admin.v1.", "operator")?;
        let made = OrganisationServiceClient::new(operator)
            .create_organisation(CreateOrganisationRequest {
                name: format!("Firm {round}"),
                administrator_email: email.clone(),
                first_name: "Ada".to_owned(),
                last_name: "Roy".to_owned(),
                locale: "en".to_owned(),
                time_zone: "America/Toronto".to_owned(),
                plan: "Standard".to_owned(),
                seats: 5,
                plan_expires_at: None,
                idempotency_key: format!("fuzz-round-{round}"),
            })
            .await?
            .into_inner();
        let set = SetPasswordByLinkRequest {
            link_token: made.link_token.clone(),
            password: PASSWORD.to_owned(),
        };
        let mut set = Request::new(set);
        put(&mut set, "x-client-ip", "192.0.2.7");
        PasswordServiceClient::new(gateway.clone())
            .set_password_by_link(set)
            .await?;
        let signing_in = SignInRequest {
            email: email.clone(),
            password: PASSWORD.to_owned(),
            browser_token: String::new(),
        };
        let mut signing_in = Request::new(signing_in);
        put(&mut signing_in, "x-client-ip", "192.0.2.7");
        let signed_in = SignInServiceClient::new(gateway)
            .sign_in(signing_in)
            .await?;
        let token = signed_in.into_inner().session_token;
        let mut request = Request::new(ListPlansRequest {});
        put(&mut request, "authorization", &format!("Bearer {token}"));
        let plans = LicenceServiceClient::new(self.channel("/sallyport.admin.v1.", "gateway")?)
            .list_plans(request)
            .await?
            .into_inner()
            .plans;
        let plan = plans.first().context("no plan was made")?;
        let new = format!("new@{domain}");
        let values = Values::with(&[
            ("actor", &made.user_id),
            ("domain", &domain),
            ("email", &new),
            ("link_token", &made.link_token),
            ("organisation_id", &made.organisation_id),
            ("plan_id", &plan.plan_id),
            ("target", &made.user_id),
            ("user_id", &made.user_id),
        ]);
        Ok(Person {
            email,
            values,
            token,
        })
    }

    /// Who may call an RPC, by the answer to an empty message.
    async fn allowed(&self, rpc: &Rpc) -> Result<Vec<Outgoing>> {
        let service = self
            .services
            .iter()
            .find(|(package, _)| rpc.path.starts_with(*package));
        let (_, peers) = service.with_context(|| format!("no door of {}", rpc.path))?;
        let mut allowed = Vec::new();
        for (_, channel) in peers {
            let answer = call(channel, &rpc.path, Request::new(Vec::new())).await;
            let refusal = answer.err().as_ref().and_then(Refusal::from_status);
            if refusal.is_none_or(|refusal| refusal.reason != "caller.denied") {
                allowed.push(channel.clone());
            }
        }
        ensure!(!allowed.is_empty(), "nobody may call {}", rpc.path);
        Ok(allowed)
    }
}

/// Every RPC, with those who may call it, in the order of a round.
pub struct Calls {
    schema: Schema,
    /// Index of the RPC, and a channel under each certificate that may call it.
    order: Vec<(usize, Vec<Outgoing>)>,
}

impl Calls {
    pub async fn prepare(doors: &Doors) -> Result<Self> {
        let schema = Schema::read()?;
        let mut order = Vec::new();
        for (index, rpc) in schema.rpcs.iter().enumerate() {
            order.push((index, doors.allowed(rpc).await?));
        }
        order.sort_by_key(|(index, _)| {
            let path = &schema.rpcs[*index].path;
            ENDING.iter().position(|ending| path.ends_with(ending))
        });
        Ok(Self { schema, order })
    }

    /// One case of each RPC; tells of each answer that nobody may get.
    pub async fn round(&self, person: &Person, bender: &mut Bender, wrong: &mut Vec<String>) {
        for (index, channels) in &self.order {
            let rpc = &self.schema.rpcs[*index];
            let mut octets = self.schema.request(rpc, &person.values, bender);
            if bender.one_in(6) {
                bender.bend(&mut octets, &[]);
            }
            let shown = octets.clone();
            let mut request = Request::new(octets);
            match bender.below(8) {
                0 => {}
                1 => {
                    let bent = bender.text(&person.token);
                    put(&mut request, "authorization", &format!("Bearer {bent}"));
                }
                _ => {
                    let bearer = format!("Bearer {}", person.token);
                    put(&mut request, "authorization", &bearer);
                }
            }
            let client_ip = person.values.text("client_ip", bender);
            put(&mut request, "x-client-ip", &client_ip);
            put(&mut request, "x-user-agent", bender.word());
            put(&mut request, "x-request-id", bender.word());
            let channel = bender.pick(channels);
            if let Err(status) = call(channel, &rpc.path, request).await
                && !is_an_answer(&status)
            {
                let octets = shown.escape_ascii();
                wrong.push(format!("{}: {status:?} to b\"{octets}\"", rpc.path));
            }
        }
    }
}

/// Metadata, where the text can be such.
fn put<T>(request: &mut Request<T>, key: &'static str, text: &str) {
    if let Ok(value) = text.parse() {
        request.metadata_mut().insert(key, value);
    }
}

/// Calls as if the answer were a stream, which it may be, and takes what comes first of it.
async fn call(channel: &Outgoing, path: &str, request: Request<Vec<u8>>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = path.parse().expect("a path of the protos");
    let answered = async {
        let answer = grpc.server_streaming(request, path, Raw).await?;
        answer.into_inner().message().await.map(|_| ())
    };
    tokio::time::timeout(HANGS, answered)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
}

/// A refusal with its reason; octets that are no message of the RPC; or a service that this
/// deployment does not have.
fn is_an_answer(status: &Status) -> bool {
    Refusal::from_status(status).is_some()
        || status.code() == Code::Unimplemented
        || (status.code() == Code::Internal
            && status
                .message()
                .starts_with("failed to decode Protobuf message"))
}
