//! A device that makes a passkey and answers with it, after the text of WebAuthn Level 3 and CTAP 2.1
//! (P-256, attestation `none`), and the browser before it, so far as that says at which page it is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const CREDENTIAL_INCLUDED: u8 = 0x40;

/// A device with one passkey.
pub struct PasskeyDevice {
    random: SystemRandom,
    key: EcdsaKeyPair,
    id: Vec<u8>,
    count: u32,
    counts: bool,
    flags: u8,
    framed: bool,
    user_handle: Option<String>,
}

impl PasskeyDevice {
    /// A device that verifies its user, counts its signatures and copies nothing away.
    ///
    /// # Panics
    /// Where the operating system gives no random bytes.
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key is made");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
            .expect("the key is one of P-256");
        let mut id = vec![0; 32];
        random.fill(&mut id).expect("random bytes");
        Self {
            random,
            key,
            id,
            count: 0,
            counts: true,
            flags: USER_PRESENT | USER_VERIFIED,
            framed: false,
            user_handle: None,
        }
    }

    /// The same device, but it does not ask who holds it.
    pub fn unverified(mut self) -> Self {
        self.flags &= !USER_VERIFIED;
        self
    }

    /// The same device, but its passkeys are copied to an account of its maker, so that it does not
    /// count their signatures.
    pub fn backed_up(mut self) -> Self {
        self.flags |= BACKUP_ELIGIBLE | BACKED_UP;
        self.counts = false;
        self
    }

    /// Whether the page that asks stands in a frame of another origin from now on.
    pub fn set_framed(&mut self, framed: bool) {
        self.framed = framed;
    }

    /// Its next signature will be said to be the one after this.
    pub fn set_count(&mut self, count: u32) {
        self.count = count;
    }

    /// The credential id as texts have it.
    pub fn id(&self) -> String {
        B64.encode(&self.id)
    }

    /// What a browser at a page of this origin answers to creation options: the JSON of a credential.
    ///
    /// # Panics
    /// Where the options are none.
    pub fn make(&mut self, options: &str, origin: &str) -> String {
        let options: Value = serde_json::from_str(options).expect("options are JSON");
        self.user_handle = options["user"]["id"].as_str().map(str::to_owned);
        let rp_id = options["rp"]["id"].as_str().expect("a relying party");
        let mut data = self.authenticator_data(rp_id, CREDENTIAL_INCLUDED);
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        data.extend(cose_key(self.key.public_key().as_ref()));
        // A map of three: fmt, attStmt (empty) and authData.
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        attestation.extend((data.len() as u16).to_be_bytes());
        attestation.extend(&data);
        self.credential(json!({
            "clientDataJSON": self.client_data("webauthn.create", &options, origin),
            "authenticatorData": B64.encode(&data),
            "attestationObject": B64.encode(attestation),
            "transports": ["internal"],
            "publicKeyAlgorithm": -7,
        }))
    }

    /// What a browser at a page of this origin answers to request options.
    ///
    /// # Panics
    /// Where the options are none.
    pub fn answer(&mut self, options: &str, origin: &str) -> String {
        let options: Value = serde_json::from_str(options).expect("options are JSON");
        let rp_id = options["rpId"].as_str().expect("a relying party");
        if self.counts {
            self.count += 1;
        }
        let data = self.authenticator_data(rp_id, 0);
        let client_data = self.client_data("webauthn.get", &options, origin);
        let seen = B64.decode(&client_data).expect("it was encoded so");
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &seen).as_ref());
        let signature = self.key.sign(&self.random, &signed).expect("it signs");
        self.credential(json!({
            "clientDataJSON": client_data,
            "authenticatorData": B64.encode(&data),
            "signature": B64.encode(signature.as_ref()),
            "userHandle": self.user_handle,
        }))
    }

    fn authenticator_data(&self, rp_id: &str, included: u8) -> Vec<u8> {
        let mut data = digest(&SHA256, rp_id.as_bytes()).as_ref().to_vec();
        data.push(self.flags | included);
        data.extend(self.count.to_be_bytes());
        data
    }

    /// What the browser saw, in base64url.
    fn client_data(&self, kind: &str, options: &Value, origin: &str) -> String {
        let data = json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": origin,
            "crossOrigin": self.framed,
        });
        B64.encode(data.to_string())
    }

    fn credential(&self, response: Value) -> String {
        json!({
            "id": self.id(),
            "rawId": self.id(),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        })
        .to_string()
    }
}

impl Default for PasskeyDevice {
    fn default() -> Self {
        Self::new()
    }
}

/// An uncompressed point of P-256 as a COSE key (RFC 9053, 7.1.1) for ES256.
fn cose_key(point: &[u8]) -> Vec<u8> {
    assert_eq!((point.len(), point[0]), (65, 4), "an uncompressed point");
    let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
    key.extend(&point[1..33]);
    key.extend([0x22, 0x58, 0x20]);
    key.extend(&point[33..]);
    key
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn what_is_signed_is_the_page_the_challenge_and_the_count() {
        let mut device = PasskeyDevice::new();
        let options = r#"{"challenge":"AAEC","rpId":"portal.example"}"#;
        let answer = device.answer(options, "https://portal.example");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let part = |name: &str| {
            B64.decode(answer["response"][name].as_str().unwrap())
                .unwrap()
        };
        let client_data: Value = serde_json::from_slice(&part("clientDataJSON")).unwrap();
        assert_eq!(client_data["challenge"], "AAEC");
        assert_eq!(client_data["origin"], "https://portal.example");
        let mut signed = part("authenticatorData");
        assert_eq!(signed[..32], *digest(&SHA256, b"portal.example").as_ref());
        assert_eq!(signed[32..], [0x05, 0, 0, 0, 1]);
        signed.extend(digest(&SHA256, &part("clientDataJSON")).as_ref());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, device.key.public_key());
        key.verify(&signed, &part("signature")).unwrap();
    }
}
