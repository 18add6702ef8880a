//! What a request is bound to, counted by and known by, as the keyed hashes that the store sees.

use std::net::IpAddr;

use sallyport_chassis::keyring::Keyring;
use sallyport_phone::PhoneNumber;

use crate::config::Limits;
use crate::domain::challenge::{Binding, Idempotency, Purpose};
use crate::domain::limits::{Counted, Scope, country, network};

/// What a challenge is bound to, in the caller's words.
#[derive(Debug, Clone)]
pub struct BoundTo {
    /// What the code is for.
    pub purpose: Purpose,
    /// Whose it is.
    pub user_id: String,
    /// The session that asked.
    pub session_id: String,
    /// Where it is sent.
    pub number: PhoneNumber,
}

impl BoundTo {
    fn parts(&self) -> [&[u8]; 4] {
        [
            self.purpose.name().as_bytes(),
            self.user_id.as_bytes(),
            self.session_id.as_bytes(),
            self.number.e164().as_bytes(),
        ]
    }

    /// The hashes by which the store compares bindings.
    pub fn binding(&self, lookup: &Keyring) -> Binding {
        let [purpose, user, session, number] = self.parts();
        Binding {
            hashes: lookup.lookups(&[b"binding", purpose, user, session, number]),
        }
    }
}

/// How a send is counted.
#[derive(Debug, Clone, Copy)]
pub enum Counting {
    /// A confirmed factor, or the one live enrolment code of a licensed user: by number and user.
    Trusted,
    /// By client address, number block and country as well.
    Untrusted {
        /// The person's address.
        client_ip: IpAddr,
    },
}

/// The caps that a send must pass.
pub fn counted(
    lookup: &Keyring,
    limits: &Limits,
    bound_to: &BoundTo,
    counting: Counting,
) -> Vec<Counted> {
    let number = &bound_to.number;
    let keyed = |scope: Scope, values: &[&str]| {
        let mut parts: Vec<&[u8]> = vec![b"sends", scope.name().as_bytes()];
        parts.extend(values.iter().map(|value| value.as_bytes()));
        Counted {
            scope,
            keys: lookup.lookups(&parts),
            cap: limits.cap(scope),
        }
    };
    let one = |scope: Scope, value: &str| keyed(scope, &[value]);
    // Codes to a confirmed number count for its owner: whoever tries to enrol that number spends
    // what enrolments may send there, and keeps nobody from signing in.
    let number_cap = match bound_to.purpose {
        Purpose::SignIn | Purpose::StepUp => {
            keyed(Scope::Number, &[number.e164(), &bound_to.user_id])
        }
        Purpose::Enrolment | Purpose::NumberChange => one(Scope::Number, number.e164()),
    };
    let mut caps = vec![number_cap, one(Scope::User, &bound_to.user_id)];
    if let Counting::Untrusted { client_ip } = counting {
        caps.push(one(Scope::Ip, &network(client_ip).to_string()));
        caps.push(one(Scope::Prefix, number.prefix()));
        caps.push(one(Scope::Country, &country(number)));
    }
    caps
}

/// An operation's idempotency key and body. The key is the user's own: somebody else's equal one is
/// another. `scope` is the operation and the user, or what stands for it.
pub fn idempotency(lookup: &Keyring, scope: [&str; 2], key: &str, body: &[&[u8]]) -> Idempotency {
    let mut parts: Vec<&[u8]> = vec![b"body", scope[0].as_bytes()];
    parts.extend_from_slice(body);
    Idempotency {
        key: lookup.lookup(&[
            b"idempotency",
            scope[0].as_bytes(),
            scope[1].as_bytes(),
            key.as_bytes(),
        ]),
        body_hash: lookup.lookup(&parts),
    }
}

/// The idempotency of a challenge's operation: `more` is what the body holds beside the binding.
pub fn challenge_idempotency(
    lookup: &Keyring,
    operation: &str,
    key: &str,
    bound_to: &BoundTo,
    more: &[&[u8]],
) -> Idempotency {
    let mut body: Vec<&[u8]> = bound_to.parts().to_vec();
    body.extend_from_slice(more);
    idempotency(lookup, [operation, &bound_to.user_id], key, &body)
}
