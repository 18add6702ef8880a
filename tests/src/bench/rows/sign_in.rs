//! Password sign-in: identity's SignIn against argon2id in a loop on as many threads.
//!
//! Half of the sign-ins have the right password, a quarter a wrong one and a quarter an e-mail that
//! nobody has; each costs one hash. They come, through the gateway, from an address each, and every
//! user's right sign-in clears the count of the wrong one before it, so that no limit is met and
//! none had to be raised.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, anyhow, ensure};
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::SignInRequest;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::Row;
use super::users::{Identity, User};
use crate::bench::bare::hash;
use crate::bench::load::{self, Ask};
use crate::bench::machine::cores;
use crate::bench::{Plan, report};

/// Sign-ins under way for each hashing thread: always one to hash next, and fewer than identity
/// refuses, which lets nobody wait for more than three eighths of a second, also where a hash takes
/// three times as long as on an idle machine.
const IN_FLIGHT_PER_THREAD: usize = 8;

/// Measures the row.
pub async fn measure(row: Row, plan: Plan) -> Result<report::Row> {
    // identity's default: one core is left for everything else.
    let threads = cores().saturating_sub(1).max(1);
    let identity = Identity::start(threads).await?;
    let users: Arc<[User]> = identity.users.as_slice().into();
    let count = Arc::new(AtomicU32::new(0));
    let (limit, product) = plan
        .in_turn(
            row.name(),
            async || hash::rate(threads, plan.times).await,
            async || {
                let callers = (0..threads * IN_FLIGHT_PER_THREAD)
                    .zip(identity.channels.iter().cycle())
                    .map(|(_, channel)| SignIn {
                        client: SignInServiceClient::new(channel.clone()),
                        users: Arc::clone(&users),
                        count: Arc::clone(&count),
                    })
                    .collect();
                load::run(plan.times, callers, &identity.child).await
            },
        )
        .await?;
    report::Row::new(row.name(), "/s", row.wanted(), &limit, &product)
}

/// A sign-in that comes, through the gateway, from this address.
pub(crate) fn request(
    email: String,
    password: String,
    address: Ipv4Addr,
) -> Result<Request<SignInRequest>> {
    let mut request = Request::new(SignInRequest {
        email,
        password,
        browser_token: String::new(),
    });
    let address = MetadataValue::try_from(address.to_string())?;
    request.metadata_mut().insert("x-client-ip", address);
    Ok(request)
}

struct SignIn {
    client: SignInServiceClient<Channel>,
    users: Arc<[User]>,
    count: Arc<AtomicU32>,
}

impl Ask for SignIn {
    async fn ask(&mut self) -> Result<()> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let User { email, password } = &self.users[(number / 2) as usize % self.users.len()];
        let right = number % 2 == 1;
        let (email, password) = match number % 4 {
            0 => (email.clone(), "not the password of anybody".to_owned()),
            2 => (format!("nobody-{number}@bench.example"), password.clone()),
            _ => (email.clone(), password.clone()),
        };
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + number);
        match self
            .client
            .sign_in(request(email, password, address)?)
            .await
        {
            Ok(_) => {
                ensure!(right, "a wrong password got in");
                Ok(())
            }
            Err(status) => {
                let reason = Refusal::from_status(&status).map(|refusal| refusal.reason);
                if !right && reason.as_deref() == Some("sign_in.failed") {
                    Ok(())
                } else {
                    Err(anyhow!(status).context("SignIn"))
                }
            }
        }
    }
}
