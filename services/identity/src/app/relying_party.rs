//! What identity is to people's authenticators: the relying party of WebAuthn. The one module that
//! knows webauthn-rs; what comes out of it are texts, numbers and answers.
//!
//! A passkey is bound to the portal's origin by the browser, which signs what it sees: whoever relays
//! a sign-in through a page of his own gets an assertion for that page's origin, and it is refused
//! here.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use sallyport_sql::StoreError;
use uuid::Uuid;
use webauthn_rs::prelude::{
    Credential, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::config::Settings;
use crate::store::passkeys::{self, Use};
use crate::store::users;

/// No answer of an authenticator is longer, as JSON.
const MOST_OCTETS: usize = 16_384;
/// No credential id is longer (WebAuthn Level 3, 5.8.3).
const MOST_ID_OCTETS: usize = 1_023;

/// The relying party of the portal.
#[derive(Debug)]
pub struct RelyingParty {
    webauthn: Webauthn,
}

/// A ceremony that begins.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What the browser is given, as the JSON that `parseCreationOptionsFromJSON` or
    /// `parseRequestOptionsFromJSON` reads.
    pub options: String,
    /// What has to be remembered until its answer.
    pub state: String,
}

/// An answer to a registration, as `PublicKeyCredential.toJSON` gives it.
#[derive(Debug)]
pub(crate) struct Attestation(RegisterPublicKeyCredential);

/// An answer to the question for a passkey.
#[derive(Debug)]
pub(crate) struct Assertion(PublicKeyCredential);

/// A passkey that its authenticator has made for this origin.
#[derive(Debug)]
pub(crate) struct Registered {
    /// The authenticator's name for it, base64url.
    pub credential_id: String,
    /// What is kept of it.
    pub credential: String,
    /// Counter and flags at first.
    pub first: Use,
}

/// Why an answer is not taken.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Not an answer to this ceremony at this origin, or not by a passkey that was asked for.
    Wrong,
    /// Right, but for a counter that has not gone on: the passkey may have been copied.
    CounterBack,
    /// The store holds what cannot be read.
    Store(StoreError),
}

impl RelyingParty {
    /// The relying party; `None` where the portal has no name but an address, to which no passkey can
    /// be bound.
    pub fn new(settings: &Settings) -> Result<Option<Self>> {
        let Some(id) = settings.relying_party_id() else {
            return Ok(None);
        };
        let origin = url::Url::parse(settings.portal_url.as_str())?;
        let webauthn = WebauthnBuilder::new(&id, &origin)
            .and_then(WebauthnBuilder::build)
            .context("identity.passkeys.rp_id does not fit identity.portal_url")?;
        Ok(Some(Self { webauthn }))
    }

    /// Options with which an authenticator makes a passkey; one that the user has is not made again on
    /// its device. The device must verify its user: what is stolen does not sign in by itself.
    pub(crate) fn begin_registration(
        &self,
        user: &users::Model,
        known: &[passkeys::Model],
    ) -> Result<Prepared, StoreError> {
        let known = known.iter().map(|row| id_of(&row.credential_id));
        let known = known.collect::<Result<Vec<_>, _>>()?;
        let (challenge, state) = self
            .webauthn
            .start_passkey_registration(user.id, &user.email, &user.email, Some(known))
            .map_err(unprepared)?;
        Ok(Prepared {
            options: json(&challenge.public_key)?,
            state: json(&state)?,
        })
    }

    /// Whether the answer is a passkey made for this ceremony, at this origin.
    pub(crate) fn register(
        &self,
        state: &str,
        attestation: &Attestation,
    ) -> Result<Registered, Unfit> {
        let state: PasskeyRegistration = stored(state)?;
        let passkey = self
            .webauthn
            .finish_passkey_registration(&attestation.0, &state)
            .map_err(unfit)?;
        let credential = Credential::from(passkey);
        if credential.cred_id.len() > MOST_ID_OCTETS {
            return Err(Unfit::Wrong);
        }
        Ok(Registered {
            credential_id: B64.encode(&credential.cred_id),
            first: Use {
                sign_count: i64::from(credential.counter),
                backup_eligible: credential.backup_eligible,
                backed_up: credential.backup_state,
            },
            credential: json(&credential).map_err(Unfit::Store)?,
        })
    }

    /// Options with which one of these passkeys is asked for.
    pub(crate) fn begin_assertion(
        &self,
        passkeys: &[passkeys::Model],
    ) -> Result<Prepared, StoreError> {
        let allowed = passkeys.iter().map(passkey);
        let allowed = allowed.collect::<Result<Vec<_>, _>>()?;
        let (challenge, state) = self
            .webauthn
            .start_passkey_authentication(&allowed)
            .map_err(unprepared)?;
        Ok(Prepared {
            options: json(&challenge.public_key)?,
            state: json(&state)?,
        })
    }

    /// Whether the answer was signed for this ceremony, at this origin, by one of the passkeys asked
    /// for, and what it says of that one.
    pub(crate) fn check(
        &self,
        state: &str,
        user_id: Uuid,
        assertion: &Assertion,
    ) -> Result<Use, Unfit> {
        let state: PasskeyAuthentication = stored(state)?;
        let answer = &assertion.0;
        // The authenticator may say whose passkey it is; then it must be this user's.
        let named = answer.get_user_unique_id();
        if named.is_some_and(|named| named != user_id.as_bytes()) || is_framed(answer) {
            return Err(Unfit::Wrong);
        }
        let result = self
            .webauthn
            .finish_passkey_authentication(answer, &state)
            .map_err(unfit)?;
        Ok(Use {
            sign_count: i64::from(result.counter()),
            backup_eligible: result.backup_eligible(),
            backed_up: result.backup_state(),
        })
    }
}

impl Attestation {
    /// Reads the JSON of a credential; `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        answer(text).map(Self)
    }
}

impl Assertion {
    /// Reads the JSON of a credential; `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        answer(text).map(Self)
    }

    /// The passkey that it says it is by, base64url.
    pub(crate) fn credential_id(&self) -> String {
        B64.encode(self.0.get_credential_id())
    }
}

/// Whether the portal's page stood in a frame of another origin when the browser was asked. webauthn-rs
/// looks at that for registrations alone.
fn is_framed(answer: &PublicKeyCredential) -> bool {
    let seen = serde_json::from_slice::<serde_json::Value>(&answer.response.client_data_json);
    seen.is_ok_and(|seen| seen["crossOrigin"] == true)
}

fn answer<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    if text.len() > MOST_OCTETS {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A stored passkey, with the counter and the flags that it has come to.
fn passkey(row: &passkeys::Model) -> Result<Passkey, StoreError> {
    let mut credential: Credential = serde_json::from_str(&row.credential)
        .map_err(|_| StoreError::Corrupt("passkeys.credential"))?;
    credential.counter =
        u32::try_from(row.sign_count).map_err(|_| StoreError::Corrupt("passkeys.sign_count"))?;
    credential.backup_eligible = row.backup_eligible;
    credential.backup_state = row.backed_up;
    Ok(Passkey::from(credential))
}

fn id_of(credential_id: &str) -> Result<Vec<u8>, StoreError> {
    B64.decode(credential_id)
        .map_err(|_| StoreError::Corrupt("passkeys.credential_id"))
}

fn stored<T: serde::de::DeserializeOwned>(state: &str) -> Result<T, Unfit> {
    serde_json::from_str(state)
        .map_err(|_| Unfit::Store(StoreError::Corrupt("passkey_ceremonies.state")))
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(error.into()))
}

fn unprepared(error: WebauthnError) -> StoreError {
    StoreError::Unavailable(error.into())
}

/// What kept the answer from being taken stays in the log of the process: its sender is told no more
/// than that it was wrong.
fn unfit(error: WebauthnError) -> Unfit {
    tracing::info!(%error, "the answer of an authenticator is refused");
    match error {
        WebauthnError::CredentialPossibleCompromise => Unfit::CounterBack,
        _ => Unfit::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn relying_party(portal_url: &str, rp_id: &str) -> Result<Option<RelyingParty>> {
        let mut settings = Config::load(None).unwrap().identity;
        settings.portal_url = serde_json::from_value(portal_url.into()).unwrap();
        settings.passkeys.rp_id = rp_id.to_owned();
        RelyingParty::new(&settings)
    }

    #[test]
    fn the_relying_party_is_the_portals_host_or_a_domain_above_it() {
        for (portal, rp_id) in [
            ("https://portal.example.com", ""),
            ("https://portal.example.com:8443/", "example.com"),
            ("http://localhost:8080", ""),
        ] {
            assert!(relying_party(portal, rp_id).unwrap().is_some(), "{portal}");
        }
        assert!(
            relying_party("http://127.0.0.1:8080", "")
                .unwrap()
                .is_none()
        );
        relying_party("https://portal.example.com", "example.org").unwrap_err();
    }

    #[test]
    fn what_is_no_credential_is_not_read() {
        let long = format!("\"{}\"", "a".repeat(MOST_OCTETS));
        for text in ["", "{}", "[]", "null", &long] {
            assert!(Attestation::parse(text).is_none() && Assertion::parse(text).is_none());
        }
    }
}
