// Passkeys: when the form is sent, asks the browser for one, or to make one, and posts what it answers.
// The options come with the page. Without script the page says that a passkey needs it.
"use strict";

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const answer = form.elements.credential;
  const said = document.getElementById("passkey-said");
  const options = JSON.parse(form.dataset.options);

  const bytes = (text) => Uint8Array.from(
    atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  // Browsers of before 2025 read and write no JSON of their own.
  const creation = () => PublicKeyCredential.parseCreationOptionsFromJSON
    ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
    : {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: named(options.excludeCredentials),
    };
  const request = () => PublicKeyCredential.parseRequestOptionsFromJSON
    ? PublicKeyCredential.parseRequestOptionsFromJSON(options)
    : {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: named(options.allowCredentials),
    };
  const written = (credential) => {
    if (credential.toJSON) return credential.toJSON();
    const from = credential.response;
    const response = { clientDataJSON: text(from.clientDataJSON) };
    if (from.attestationObject) {
      response.attestationObject = text(from.attestationObject);
      response.transports = from.getTransports ? from.getTransports() : [];
    } else {
      response.authenticatorData = text(from.authenticatorData);
      response.signature = text(from.signature);
      response.userHandle = from.userHandle ? text(from.userHandle) : null;
    }
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      clientExtensionResults: credential.getClientExtensionResults(),
      response,
    };
  };

  let asking = false;
  const ask = async () => {
    if (asking) return;
    asking = true;
    said.textContent = "";
    try {
      const credential = form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: creation() })
        : await navigator.credentials.get({ publicKey: request() });
      answer.value = JSON.stringify(written(credential));
      form.requestSubmit();
    } catch {
      // Cancelled, timed out, or no passkey on this device: browsers do not tell which.
      said.textContent = said.dataset.failed;
    }
    asking = false;
  };

  form.addEventListener("submit", (event) => {
    if (answer.value) return;
    event.preventDefault();
    event.stopPropagation();
    ask();
  });
  // A page that comes back from the browser's memory asks anew.
  window.addEventListener("pageshow", () => { answer.value = ""; });
  if (!window.PublicKeyCredential) said.textContent = said.dataset.missing;
}
