//! `ChallengeService` as little as it can be: one EVALSHA to verify; one EVALSHA and one confirmed
//! publish to create. The scripts do what the rules ask for (caps, single use, repeated answers) on
//! declared keys, with plain arguments, and nothing else.

use std::path::Path;

use anyhow::{Context, Result};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use redis::Script;
use redis::aio::MultiplexedConnection;
use sallyport_chassis::keyring::random_id;
use sallyport_chassis::{Clock, SystemClock};
use sallyport_proto::otp::v1::challenge_service_server::{
    ChallengeService, ChallengeServiceServer,
};
use sallyport_proto::otp::v1::{
    Binding, CancelChallengeRequest, CancelChallengeResponse, Challenge, CreateChallengeRequest,
    CreateChallengeResponse, GetChallengeRequest, GetChallengeResponse, MessageState,
    ResendChallengeRequest, ResendChallengeResponse, Verdict, VerifyChallengeRequest,
    VerifyChallengeResponse, WatchChallengeRequest, WatchChallengeResponse,
};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The queue of the bare server.
pub const QUEUE: &str = "bare.code";

/// Bytes of a queue message of the product: ids, instants, and number and text sealed.
pub const BODY: usize = 520;

/// Wrong codes that a challenge bears, as the product's default.
pub const TRIES: u32 = 5;

/// KEYS challenge; ARGV binding, answer field, now. Answers with the tries left, -1 for an ended and
/// -2 for an unknown challenge.
const VERIFY: &str = r"
local c = redis.call('HMGET', KEYS[1], 'binding', 'tries', 'expires_at', ARGV[2])
if c[1] ~= ARGV[1] then return -2 end
if c[4] then return tonumber(c[4]) end
if c[2] == '0' or tonumber(ARGV[3]) >= tonumber(c[3]) then return -1 end
local tries = redis.call('HINCRBY', KEYS[1], 'tries', -1)
redis.call('HSET', KEYS[1], ARGV[2], tries)
return tries";

/// KEYS challenge, message, idempotency, sends of the number, sends of the user, accepting; ARGV
/// binding, message id, body, now, tries. Answers 1, or 0 where it was refused or known.
const CREATE: &str = r"
local now = tonumber(ARGV[4])
if not redis.call('SET', KEYS[3], ARGV[2], 'NX', 'PX', 86400000) then return 0 end
for i = 4, 5 do
  if redis.call('ZCOUNT', KEYS[i], now - 3600000, '+inf') >= 5
    or redis.call('ZCOUNT', KEYS[i], now - 86400000, '+inf') >= 10 then return 0 end
end
for i = 4, 5 do
  redis.call('ZADD', KEYS[i], now, ARGV[2])
  redis.call('PEXPIRE', KEYS[i], 86400000)
end
redis.call('HSET', KEYS[1], 'binding', ARGV[1], 'expires_at', now + 600000, 'tries', ARGV[5],
  'resend_at', now + 60000, 'sends_left', 2, 'newest', ARGV[2])
redis.call('PEXPIRE', KEYS[1], 660000)
redis.call('HSET', KEYS[2], 'stage', 'accepting', 'body', ARGV[3], 'deadline_at', now + 600000)
redis.call('PEXPIRE', KEYS[2], 660000)
redis.call('ZADD', KEYS[6], now, ARGV[2])
return 1";

struct Bare {
    redis: MultiplexedConnection,
    verify: Script,
    create: Script,
    channel: Channel,
    body: Vec<u8>,
}

fn binding(binding: Option<&Binding>) -> Result<String, Status> {
    let binding = binding.ok_or_else(|| Status::invalid_argument("binding"))?;
    let Binding {
        purpose,
        user_id,
        session_id,
        number,
    } = binding;
    Ok(format!("{purpose}:{user_id}:{session_id}:{number}"))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn away(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl ChallengeService for Bare {
    type WatchChallengeStream = tokio_stream::Empty<Result<WatchChallengeResponse, Status>>;

    async fn verify_challenge(
        &self,
        request: Request<VerifyChallengeRequest>,
    ) -> Result<Response<VerifyChallengeResponse>, Status> {
        let request = request.into_inner();
        let tries: i64 = self
            .verify
            .key(format!("c:{}", request.challenge_id))
            .arg(binding(request.binding.as_ref())?)
            .arg(format!("answer {}", request.request_id))
            .arg(SystemClock.now_ms())
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(away)?;
        let verdict = match tries {
            -2 => Verdict::NotFound,
            -1 => Verdict::Ended,
            _ => Verdict::Wrong,
        };
        let tries_left = u32::try_from(tries).unwrap_or(0);
        Ok(Response::new(VerifyChallengeResponse {
            verdict: verdict.into(),
            tries_left,
        }))
    }

    async fn create_challenge(
        &self,
        request: Request<CreateChallengeRequest>,
    ) -> Result<Response<CreateChallengeResponse>, Status> {
        let request = request.into_inner();
        let bound = request.binding.as_ref();
        let now = SystemClock.now_ms();
        let (challenge_id, message_id) = (random_id(), random_id());
        let stored: i64 = self
            .create
            .key(format!("c:{challenge_id}"))
            .key(format!("m:{message_id}"))
            .key(format!("i:{}", request.idempotency_key))
            .key(format!("n:{}", bound.map_or("", |bound| &bound.number)))
            .key(format!("u:{}", bound.map_or("", |bound| &bound.user_id)))
            .key("accepting")
            .arg(binding(bound)?)
            .arg(&message_id)
            .arg(&self.body)
            .arg(now)
            .arg(TRIES)
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(away)?;
        if stored != 1 {
            return Err(Status::resource_exhausted(
                "a cap is full, or the key is known",
            ));
        }
        // Many requests share the channel, and with it the broker's confirms.
        let confirm = self
            .channel
            .basic_publish(
                "".into(),
                QUEUE.into(),
                BasicPublishOptions {
                    mandatory: true,
                    ..Default::default()
                },
                &self.body,
                BasicProperties::default().with_delivery_mode(2),
            )
            .await
            .map_err(away)?;
        match confirm.await.map_err(away)? {
            Confirmation::Ack(None) => {}
            _ => return Err(Status::unavailable("the broker did not take the message")),
        }
        let instant = |ms: i64| {
            Some(prost_types::Timestamp {
                seconds: ms / 1_000,
                nanos: ((ms % 1_000) * 1_000_000) as i32,
            })
        };
        Ok(Response::new(CreateChallengeResponse {
            challenge: Some(Challenge {
                challenge_id,
                message_id,
                reference: "ABC".to_owned(),
                expires_at: instant(now + 600_000),
                resend_at: instant(now + 60_000),
                sends_left: 2,
                tries_left: TRIES,
                message_state: MessageState::Queued.into(),
                failure_reason: String::new(),
            }),
        }))
    }

    async fn resend_challenge(
        &self,
        _: Request<ResendChallengeRequest>,
    ) -> Result<Response<ResendChallengeResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn cancel_challenge(
        &self,
        _: Request<CancelChallengeRequest>,
    ) -> Result<Response<CancelChallengeResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn get_challenge(
        &self,
        _: Request<GetChallengeRequest>,
    ) -> Result<Response<GetChallengeResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn watch_challenge(
        &self,
        _: Request<WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Serves until it is killed.
pub async fn serve(socket: &Path, redis: &str, amqp: &str) -> Result<()> {
    let redis = redis::Client::open(redis)?
        .get_multiplexed_async_connection()
        .await
        .context("connecting to Redis")?;
    let connection = Connection::connect(amqp, ConnectionProperties::default())
        .await
        .context("connecting to RabbitMQ")?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString(LongString::from("quorum")),
    );
    channel
        .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let bare = Bare {
        redis,
        verify: Script::new(VERIFY),
        create: Script::new(CREATE),
        channel,
        body: vec![b'x'; BODY],
    };
    super::serve(socket, Routes::new(ChallengeServiceServer::new(bare))).await
}
