//! How guesses are slowed: whose they count as, and how long the next one waits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// From which failure on the next guess waits, and how long.
#[derive(Debug, Clone, Copy)]
pub struct DelayRule {
    /// The first failure that is followed by a wait.
    pub from: u32,
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl DelayRule {
    /// The wait after this many failures in a row: none, then the first, doubled each time.
    pub fn after(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.from) {
            None => Duration::ZERO,
            Some(more) => self
                .first
                .saturating_mul(2u32.saturating_pow(more))
                .min(self.longest),
        }
    }
}

/// The network that guesses from this address count for: /24 of IPv4, /64 of IPv6.
pub fn network(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        Some(IpAddr::V6(v6)) => format!("{}/64", prefix(v6)),
    }
}

/// The source that failures from this address count for: the address, /64 of IPv6.
pub fn source(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(v4)) => v4.to_string(),
        other => network(other),
    }
}

fn prefix(address: Ipv6Addr) -> Ipv6Addr {
    let [a, b, c, d, ..] = address.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_starts_at_the_fifth_failure_doubles_and_is_bounded() {
        let rule = DelayRule {
            from: 5,
            first: Duration::from_secs(5),
            longest: Duration::from_secs(900),
        };
        let waits: Vec<u64> = (0..15).map(|n| rule.after(n).as_secs()).collect();
        assert_eq!(
            waits,
            [0, 0, 0, 0, 0, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
        );
        assert_eq!(rule.after(u32::MAX), rule.longest);
    }

    #[test]
    fn neighbours_share_a_network_but_only_ipv6_shares_a_source() {
        let ip = |text: &str| Some(text.parse().unwrap());
        assert_eq!(network(ip("192.0.2.7")), network(ip("192.0.2.250")));
        assert_ne!(network(ip("192.0.2.7")), network(ip("192.0.3.7")));
        assert_ne!(source(ip("192.0.2.7")), source(ip("192.0.2.8")));
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:2")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        // An IPv4 address in IPv6 clothes is the same caller.
        assert_eq!(source(ip("::ffff:192.0.2.7")), source(ip("192.0.2.7")));
    }
}
