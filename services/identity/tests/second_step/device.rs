//! A person's passkeys: devices at the portal's page, and what a session does with them.

use sallyport_proto::identity::v1 as proto;
use sallyport_testkit::PasskeyDevice;

use crate::session::{Answer, Session};

/// Where the portal is, as these tests configure it.
pub const ORIGIN: &str = "http://localhost:8080";

impl Session {
    pub async fn begin_passkey(&self) -> Answer<proto::BeginPasskeyResponse> {
        let message = proto::BeginPasskeyRequest {};
        let mut client = self.two_factor();
        let answer = client.begin_passkey(self.request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Binds what a device has made; the recovery codes, where there are new ones.
    pub async fn confirm_passkey(
        &mut self,
        ceremony_id: &str,
        credential: &str,
        name: &str,
    ) -> Answer<Vec<String>> {
        let message = proto::ConfirmPasskeyRequest {
            ceremony_id: ceremony_id.into(),
            credential: credential.into(),
            name: name.into(),
        };
        let mut client = self.two_factor();
        let answer = client.confirm_passkey(self.request(message)).await?;
        let answer = answer.into_inner();
        self.token = answer.session_token;
        Ok(answer.recovery_codes)
    }

    /// Has the device make a passkey and binds it.
    pub async fn register(&mut self, device: &mut PasskeyDevice) -> Answer<Vec<String>> {
        let begun = self.begin_passkey().await?;
        let credential = device.make(&begun.options, ORIGIN);
        self.confirm_passkey(&begun.ceremony_id, &credential, "My device")
            .await
    }

    pub async fn rename_passkey(&self, id: &str, name: &str) -> Answer<()> {
        let message = proto::RenamePasskeyRequest {
            passkey_id: id.into(),
            name: name.into(),
        };
        let mut client = self.two_factor();
        client.rename_passkey(self.request(message)).await?;
        Ok(())
    }

    pub async fn remove_passkey(&mut self, id: &str) -> Answer<()> {
        let message = proto::RemovePasskeyRequest {
            passkey_id: id.into(),
        };
        let mut client = self.two_factor();
        let answer = client.remove_passkey(self.request(message)).await?;
        self.token = answer.into_inner().session_token;
        Ok(())
    }

    /// The user's passkeys, as his page lists them.
    pub async fn passkeys(&self) -> Vec<proto::Passkey> {
        self.two_factor_state().await.unwrap().passkeys
    }

    pub async fn begin_passkey_use(&self) -> Answer<proto::BeginPasskeyUseResponse> {
        let message = proto::BeginPasskeyUseRequest {};
        let mut client = self.codes();
        let answer = client.begin_passkey_use(self.request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Gives what a device answered and goes on with the new token; the token of the remembered
    /// browser, if it is to be.
    pub async fn use_passkey_and_remember(
        &mut self,
        ceremony_id: &str,
        credential: &str,
        remember: bool,
    ) -> Answer<String> {
        let message = proto::UsePasskeyRequest {
            ceremony_id: ceremony_id.into(),
            credential: credential.into(),
            remember_browser: remember,
        };
        let mut client = self.codes();
        let answer = client.use_passkey(self.request(message)).await?;
        let answer = answer.into_inner();
        self.token = answer.session_token;
        Ok(answer.browser_token)
    }

    pub async fn use_passkey(&mut self, ceremony_id: &str, credential: &str) -> Answer<()> {
        self.use_passkey_and_remember(ceremony_id, credential, false)
            .await?;
        Ok(())
    }

    /// Begins, and gives what the device answers at the portal's page.
    pub async fn pass(&mut self, device: &mut PasskeyDevice) -> Answer<()> {
        let begun = self.begin_passkey_use().await?;
        let credential = device.answer(&begun.options, ORIGIN);
        self.use_passkey(&begun.ceremony_id, &credential).await
    }
}
