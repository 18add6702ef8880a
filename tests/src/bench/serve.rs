//! The servers under measure, each a process of its own.

use std::path::PathBuf;

use anyhow::Result;

use super::{bare, product};

/// Which server to be.
#[derive(clap::Subcommand)]
pub enum Serve {
    /// `ChallengeService`, bare.
    BareOtp {
        /// The unix socket.
        #[arg(long)]
        socket: PathBuf,
        /// `redis://…`
        #[arg(long)]
        redis: String,
        /// `amqp://…`
        #[arg(long)]
        amqp: String,
    },
    /// `SignInService.GetSession`, bare: always the same answer.
    BareEcho {
        /// The unix socket.
        #[arg(long)]
        socket: PathBuf,
    },
    /// `SignInService.GetSession`, bare: one SELECT.
    BareSelect {
        /// The unix socket.
        #[arg(long)]
        socket: PathBuf,
        /// `postgres://…` of an empty database.
        #[arg(long)]
        postgres: String,
        /// How many sessions there are.
        #[arg(long)]
        sessions: usize,
    },
    /// `EventService.AppendEvents`, which keeps nothing: the neighbour of identity.
    Events {
        /// The unix socket.
        #[arg(long)]
        socket: PathBuf,
    },
    /// otp-api as it is.
    OtpApi {
        /// Its configuration.
        #[arg(long)]
        config: PathBuf,
        /// Whoever connects here is identity.
        #[arg(long)]
        identity_socket: PathBuf,
    },
    /// identity as it is.
    Identity {
        /// Its configuration.
        #[arg(long)]
        config: PathBuf,
        /// Whoever connects here is the gateway.
        #[arg(long)]
        gateway_socket: PathBuf,
        /// Whoever connects here is account-admin.
        #[arg(long)]
        admin_socket: PathBuf,
        /// Where account-admin takes events.
        #[arg(long)]
        events_socket: PathBuf,
    },
}

impl Serve {
    /// Serves until it is killed.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::BareOtp {
                socket,
                redis,
                amqp,
            } => bare::challenge::serve(&socket, &redis, &amqp).await,
            Self::BareEcho { socket } => bare::session::serve_echo(&socket).await,
            Self::BareSelect {
                socket,
                postgres,
                sessions,
            } => bare::session::serve_select(&socket, &postgres, sessions).await,
            Self::Events { socket } => bare::events::serve(&socket).await,
            Self::OtpApi {
                config,
                identity_socket,
            } => product::otp_api(&config, &identity_socket).await,
            Self::Identity {
                config,
                gateway_socket,
                admin_socket,
                events_socket,
            } => product::identity(&config, &gateway_socket, &admin_socket, events_socket).await,
        }
    }
}
