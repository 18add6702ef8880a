//! `sallyportctl`: what operators do from a terminal.

mod certs;
mod configuration;
mod door;
mod guard;
mod keys;
mod migrate;
mod organisation;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// Operate a Sallyport deployment.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    /// Print tables for people, or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = output::Form::Table)]
    output: output::Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a service's schema up to date.
    ///
    /// Example: sallyportctl migrate --service identity --config /etc/sallyport/identity.toml
    Migrate {
        /// Whose schema.
        #[arg(long, value_enum)]
        service: Stateful,
        /// The service's configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Look at configurations.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make a development CA and a certificate for every service and the operator.
    ///
    /// Example: sallyportctl certs --out .local/certs
    Certs {
        /// The folder; existing files are kept.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make the key rings of every service, a folder each.
    ///
    /// Example: sallyportctl keys --out /etc/sallyport/keys
    Keys {
        /// The folder; existing rings are kept.
        #[arg(long)]
        out: PathBuf,
    },
    /// Organisations.
    #[command(subcommand)]
    Org(organisation::OrgCommand),
    /// The pumping guard.
    #[command(subcommand)]
    Guard(guard::GuardCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read a configuration as the program would, and print the effective values, secrets masked.
    ///
    /// Example: sallyportctl config check --program sallyport --config sallyport.toml
    Check {
        /// Whose configuration.
        #[arg(long, value_enum)]
        program: configuration::Program,
        /// The configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Print the commented defaults of every program: the configuration reference.
    Reference,
}

/// The services with a schema.
#[derive(Clone, Copy, ValueEnum)]
enum Stateful {
    Identity,
    OtpApi,
    AccountAdmin,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sallyportctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Migrate { service, config } => migrate::run(service, config.as_deref()).await,
        Command::Config(ConfigCommand::Check { program, config }) => {
            output::text(&configuration::check(program, config.as_deref())?);
            Ok(())
        }
        Command::Config(ConfigCommand::Reference) => {
            output::text(&configuration::reference());
            Ok(())
        }
        Command::Certs { out } => certs::make(&out),
        Command::Keys { out } => keys::make(&out),
        Command::Org(command) => organisation::run(command, arguments.output).await,
        Command::Guard(command) => guard::run(command, arguments.output).await,
    }
}
