//! otp-api and its bare counterpart, side by side on one Redis and one RabbitMQ.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use lapin::options::QueuePurgeOptions;
use lapin::{Connection, ConnectionProperties};
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::{Binding, CreateChallengeRequest, Purpose};
use sallyport_testkit::{RabbitMq, Redis};
use tonic::transport::Channel;

use crate::bench::bare::challenge::{QUEUE, TRIES};
use crate::bench::child::{Child, Sockets, connect};

/// The work queue of otp-api.
const PRODUCT_QUEUE: &str = "sms.code";

/// One of the two servers.
pub struct Server {
    /// Its process.
    pub child: Child,
    /// Connections to it.
    pub channels: Vec<Channel>,
    amqp: Connection,
    queue: &'static str,
}

/// Both servers, and what stands behind them.
pub struct Otp {
    /// The limit.
    pub bare: Server,
    /// otp-api.
    pub product: Server,
    /// Numbers and users that were not used yet.
    pub fresh: Arc<AtomicU64>,
    redis: Redis,
    _rabbitmq: RabbitMq,
    _sockets: Sockets,
}

impl Otp {
    /// Starts everything.
    pub async fn start() -> Result<Self> {
        let sockets = Sockets::new()?;
        let redis = Redis::start().await?;
        // A rewrite of the log would slow whichever side it meets.
        redis::cmd("CONFIG")
            .arg(&["SET", "auto-aof-rewrite-percentage", "0"])
            .exec_async(&mut connection(&redis).await?)
            .await?;
        let rabbitmq = RabbitMq::start().await?;
        let amqp = rabbitmq.create_vhost("bare").await?;
        let socket = sockets.text("bare")?;
        let url = redis.url_for_db(1);
        let bare = Child::start(&[
            "bare-otp", "--socket", &socket, "--redis", &url, "--amqp", &amqp,
        ])
        .await?;
        let bare = Server::new(bare, &sockets, "bare", &amqp, QUEUE).await?;

        let amqp = rabbitmq.create_vhost("product").await?;
        let (config, keys) = (sockets.text("otp.toml")?, sockets.text("keys")?);
        let data = sockets.text("data")?;
        let url = redis.url_for_db(2);
        std::fs::write(
            &config,
            format!(
                "profile = \"development\"\n\
                 [keys]\nfolder = \"{keys}\"\n\
                 [database]\nurl = \"sqlite://{data}\"\n\
                 [challenges]\nurl = \"{url}\"\n\
                 [queue]\nurl = \"{amqp}\"\n\
                 [otp]\ntries = {TRIES}\n"
            ),
        )?;
        let socket = sockets.text("product")?;
        let product =
            Child::start(&["otp-api", "--config", &config, "--identity-socket", &socket]).await?;
        let product = Server::new(product, &sockets, "product", &amqp, PRODUCT_QUEUE).await?;
        let fresh = Arc::new(AtomicU64::new(0));
        Ok(Self {
            bare,
            product,
            fresh,
            redis,
            _rabbitmq: rabbitmq,
            _sockets: sockets,
        })
    }

    /// Throws away what earlier runs left in Redis and in the queues.
    pub async fn empty(&self) -> Result<()> {
        redis::cmd("FLUSHALL")
            .arg("SYNC")
            .exec_async(&mut connection(&self.redis).await?)
            .await
            .context("emptying Redis")?;
        self.bare.purge().await?;
        self.product.purge().await
    }
}

async fn connection(redis: &Redis) -> Result<redis::aio::MultiplexedConnection> {
    // Emptying a full server takes longer than the half second that is the default.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(redis::Client::open(redis.url())?
        .get_multiplexed_async_connection_with_config(&patient)
        .await?)
}

impl Server {
    async fn new(
        child: Child,
        sockets: &Sockets,
        socket: &str,
        amqp: &str,
        queue: &'static str,
    ) -> Result<Self> {
        let channels = connect(&sockets.path(socket)).await?;
        let amqp = Connection::connect(amqp, ConnectionProperties::default()).await?;
        let server = Self {
            child,
            channels,
            amqp,
            queue,
        };
        // The first creation declares the product's queues.
        server
            .creator(0, &Arc::new(AtomicU64::new(u64::from(u32::MAX))))
            .create()
            .await?;
        Ok(server)
    }

    /// The creator of one caller.
    pub fn creator(&self, caller: usize, fresh: &Arc<AtomicU64>) -> Creator {
        let channel = self.channels[caller % self.channels.len()].clone();
        Creator {
            client: ChallengeServiceClient::new(channel),
            fresh: Arc::clone(fresh),
        }
    }

    async fn purge(&self) -> Result<()> {
        let channel = self.amqp.create_channel().await?;
        channel
            .queue_purge(self.queue.into(), QueuePurgeOptions::default())
            .await
            .with_context(|| format!("emptying {}", self.queue))?;
        channel.close(200, "emptied".into()).await?;
        Ok(())
    }
}

/// Creates challenges, each for a number and a user of its own, so that no cap is met. They are the
/// second steps of sign-ins to confirmed numbers, the commonest kind.
pub struct Creator {
    client: ChallengeServiceClient<Channel>,
    fresh: Arc<AtomicU64>,
}

impl Creator {
    /// One challenge: its id, and what it is bound to.
    pub async fn create(&mut self) -> Result<(String, Binding)> {
        let number = self.fresh.fetch_add(1, Ordering::Relaxed);
        let binding = Binding {
            purpose: Purpose::SignIn.into(),
            user_id: format!("user-{number:031}"),
            session_id: format!("session-{number:028}"),
            number: format!("+336{:08}", number % 100_000_000),
        };
        let request = CreateChallengeRequest {
            binding: Some(binding.clone()),
            idempotency_key: format!("key-{number:018}"),
            locale: "en".to_owned(),
            organisation_id: "0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d03".to_owned(),
            client_ip: String::new(),
            trusted: true,
        };
        let answer = self
            .client
            .create_challenge(request)
            .await
            .context("CreateChallenge")?;
        let challenge = answer
            .into_inner()
            .challenge
            .context("an answer without a challenge")?;
        ensure!(
            challenge.tries_left == TRIES,
            "a challenge with {} tries",
            challenge.tries_left
        );
        Ok((challenge.challenge_id, binding))
    }
}
