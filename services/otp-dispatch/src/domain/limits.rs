//! How many messages may be sent, by number, user, address, number block and country (rule 30).
//!
//! Both windows slide: a send counts from its instant until exactly one hour, or one day, later.

use std::net::{IpAddr, Ipv6Addr};

use sallyport_phone::PhoneNumber;
use serde::{Deserialize, Serialize};

/// The short window in milliseconds.
pub const HOUR_MS: i64 = 60 * 60 * 1000;
/// The long window in milliseconds. Nothing older is kept.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// What a cap is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The number that the message goes to.
    Number,
    /// The user it is for.
    User,
    /// The client's address (IPv6: its /64).
    Ip,
    /// The number's block: E.164 less its last four digits.
    Prefix,
    /// The number's country, never the whole of a shared calling code.
    Country,
}

impl Scope {
    /// All scopes, in the order in which they are checked.
    pub const ALL: [Self; 5] = [
        Self::Number,
        Self::User,
        Self::Ip,
        Self::Prefix,
        Self::Country,
    ];

    /// The word in keys, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::User => "user",
            Self::Ip => "ip",
            Self::Prefix => "prefix",
            Self::Country => "country",
        }
    }

    /// Whether a send is taken off again when its code is verified: these caps count codes that
    /// nobody used, the sign of traffic pumping.
    pub fn refunded(self) -> bool {
        match self {
            Self::Number | Self::User => false,
            Self::Ip | Self::Prefix | Self::Country => true,
        }
    }
}

/// How many sends each window may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Sends in any 60 minutes.
    pub per_hour: u32,
    /// Sends in any 24 hours.
    pub per_day: u32,
}

/// One cap that a send is checked against and counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What the cap is about.
    pub scope: Scope,
    /// The keyed hash of the thing counted, under each key of the lookup ring, current first: sends
    /// are counted under the first, and those that an older key counted still count.
    pub keys: Vec<String>,
    /// The figures.
    pub cap: Cap,
}

/// A cap that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// The cap. Where several are full, the one that opens last.
    pub scope: Scope,
    /// Unix milliseconds at which the request would pass every cap, if nothing else is sent.
    pub retry_at: i64,
}

/// Decides one cap. `sends` holds the instants counted, in any order; those that left the windows
/// may still be among them.
///
/// `Some` names the instant at which enough sends have left both windows for one more.
pub fn full_until(sends: &[i64], cap: Cap, now: i64) -> Option<i64> {
    let mut sorted: Vec<i64> = sends.to_vec();
    sorted.sort_unstable();
    [(HOUR_MS, cap.per_hour), (DAY_MS, cap.per_day)]
        .into_iter()
        .filter_map(|(window, allowed)| {
            let live = &sorted[sorted.partition_point(|at| *at <= now - window)..];
            let allowed = allowed as usize;
            if live.len() < allowed {
                return None;
            }
            // With a cap of nothing, nothing ever leaves: say the whole window.
            live.get(live.len() - allowed)
                .map_or(Some(now + window), |at| Some(at + window))
        })
        .max()
}

/// The later of two refusals; the first where both open at once.
pub fn later(first: Option<Full>, second: Option<Full>) -> Option<Full> {
    match (first, second) {
        (Some(a), Some(b)) if b.retry_at > a.retry_at => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}

/// The country of a number, never the whole of a shared calling code. A world-wide service has none;
/// each calling code of those stands for itself.
pub fn country(number: &PhoneNumber) -> String {
    match number.country() {
        Some(country) => country.code().to_owned(),
        None => format!("+{}", number.country_code()),
    }
}

/// The part of an address that one household or attacker has for itself: an IPv4 address, or the
/// /64 of an IPv6 one.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Cap = Cap {
        per_hour: 2,
        per_day: 3,
    };

    #[test]
    fn a_window_opens_exactly_when_its_oldest_send_leaves() {
        assert_eq!(full_until(&[0], CAP, 10), None);
        assert_eq!(full_until(&[0, 5], CAP, 10), Some(HOUR_MS));
        assert_eq!(full_until(&[5, 0], CAP, HOUR_MS - 1), Some(HOUR_MS));
        assert_eq!(full_until(&[0, 5], CAP, HOUR_MS), None);
    }

    #[test]
    fn the_day_holds_where_the_hour_has_opened() {
        let sends = [0, 1, 2 * HOUR_MS];
        assert_eq!(full_until(&sends, CAP, 3 * HOUR_MS), Some(DAY_MS));
        assert_eq!(full_until(&sends, CAP, DAY_MS), None);
    }

    #[test]
    fn a_lowered_cap_waits_for_as_many_as_are_too_many() {
        assert_eq!(full_until(&[0, 1, 2, 3], CAP, 10), Some(1 + DAY_MS));
    }

    #[test]
    fn a_cap_of_nothing_refuses_always() {
        let none = Cap {
            per_hour: 0,
            per_day: 0,
        };
        assert_eq!(full_until(&[], none, 7), Some(7 + DAY_MS));
    }

    #[test]
    fn networks_are_64_bits_wide_and_mapped_addresses_are_plain_ones() {
        let at = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(at("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(at("192.0.2.7"), "192.0.2.7");
    }
}
