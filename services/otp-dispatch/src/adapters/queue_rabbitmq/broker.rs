//! Where the broker is, and how a connection to it is made.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use sallyport_chassis::SecretUrl;

use super::BrokerError;

/// Seconds between signs of life: a host that vanished is noticed after two of them.
const HEARTBEAT: u16 = 5;
/// How long one host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The hosts of a cluster.
pub(super) struct Broker {
    hosts: Vec<AMQPUri>,
    /// The host that answered last.
    next: AtomicUsize,
}

impl Broker {
    pub(super) fn parse(url: &SecretUrl) -> Result<Self> {
        let hosts = split_hosts(url.expose())?
            .iter()
            .map(|url| {
                // The parser's message may repeat the URL and with it the password.
                let mut uri: AMQPUri = url
                    .parse()
                    .map_err(|_| anyhow!("queue.url is not amqp[s]://user:password@host/vhost"))?;
                uri.query.heartbeat.get_or_insert(HEARTBEAT);
                Ok(uri)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            hosts,
            next: AtomicUsize::new(0),
        })
    }

    /// Connects to the first host that answers, beginning with the one that did so last.
    pub(super) async fn connect(&self, purpose: &str) -> Result<Connection, BrokerError> {
        let start = self.next.load(Ordering::Relaxed);
        let mut last = BrokerError::TimedOut;
        for index in (start..start + self.hosts.len()).map(|n| n % self.hosts.len()) {
            let properties = ConnectionProperties::default()
                .with_connection_name(format!("sallyport {purpose}").into());
            let connecting = Connection::connect_uri(self.hosts[index].clone(), properties);
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(connection)) => {
                    self.next.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Err(error)) => last = error.into(),
                Err(_) => last = BrokerError::TimedOut,
            }
        }
        Err(last)
    }
}

/// One URL for each host of `scheme://user:password@a:1,b:2/vhost`.
fn split_hosts(url: &str) -> Result<Vec<String>> {
    let (scheme, rest) = url.split_once("://").context("queue.url has no scheme")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
    ensure!(
        hosts.iter().all(|host| !host.is_empty()),
        "queue.url names an empty host"
    );
    Ok(hosts
        .iter()
        .map(|host| format!("{scheme}://{user}{host}{path}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_gets_the_whole_rest_of_the_url() {
        assert_eq!(
            split_hosts("amqps://u:p%40w@a:1,b:2, c/vh?heartbeat=9").unwrap(),
            [
                "amqps://u:p%40w@a:1/vh?heartbeat=9",
                "amqps://u:p%40w@b:2/vh?heartbeat=9",
                "amqps://u:p%40w@c/vh?heartbeat=9",
            ]
        );
        assert_eq!(split_hosts("amqp://a").unwrap(), ["amqp://a"]);
        assert!(split_hosts("amqp://a,,b/").is_err());
    }

    #[test]
    fn heartbeats_are_on_unless_the_url_says_otherwise() {
        let beat =
            |url| Broker::parse(&SecretUrl::new(url)).map(|broker| broker.hosts[0].query.heartbeat);
        assert_eq!(beat("amqp://u:p@a/%2f").unwrap(), Some(HEARTBEAT));
        assert_eq!(beat("amqp://u:p@a/%2f?heartbeat=9").unwrap(), Some(9));
    }

    #[test]
    fn a_refused_url_does_not_show_its_password() {
        let error = Broker::parse(&SecretUrl::new("amqp://u:hunter2@a:port/"))
            .err()
            .unwrap();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }
}
