// Walks sign-in, enrolment, resend and lock against identity over mutual TLS.

import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

function env(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const EMAIL = env("SALLYPORT_EMAIL");
const NUMBER = env("SALLYPORT_NUMBER");
const PASSWORD = "quiet harbour lends 12 lanterns";
let steps = 0;

const definition = loader.loadSync(
  ["sign_in", "code", "two_factor", "password"].map((f) => `sallyport/identity/v1/${f}.proto`),
  { includeDirs: [env("SALLYPORT_PROTO")], keepCase: true, enums: String, defaults: true },
);
// The loader's types are not known before run time; each call names its fields.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const v1 = (grpc.loadPackageDefinition(definition) as any).sallyport.identity.v1;
const credentials = grpc.credentials.createSsl(
  readFileSync(env("SALLYPORT_CA")),
  readFileSync(env("SALLYPORT_KEY")),
  readFileSync(env("SALLYPORT_CERT")),
);
const open = (service: string) => new v1[service](env("SALLYPORT_IDENTITY"), credentials);

function metadata(token?: string): grpc.Metadata {
  const pairs = new grpc.Metadata();
  pairs.set("x-client-ip", "192.0.2.11");
  pairs.set("x-request-id", randomUUID());
  if (token) pairs.set("authorization", `Bearer ${token}`);
  return pairs;
}

type Fields = Record<string, unknown>;

// eslint-disable-next-line @typescript-eslint/no-explicit-any
function call(client: any, method: string, request: Fields, token?: string): Promise<any> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    client[method](request, metadata(token), { deadline }, (error: grpc.ServiceError | null, answer: unknown) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

/** The call must be refused with this code; the reason stands in the status message too. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
async function refused(client: any, method: string, request: Fields, token: string | undefined, code: grpc.status, reason: string) {
  try {
    await call(client, method, request, token);
  } catch (error) {
    const status = error as grpc.ServiceError;
    assert.equal(status.code, code, `${status.code} ${status.details}`);
    assert.equal(status.details, reason);
    const details = status.metadata.get("grpc-status-details-bin");
    assert.ok(details.length > 0 && details[0].toString().includes(reason), "a refusal without ErrorInfo");
    return;
  }
  throw new Error(`not refused: ${reason}`);
}

/** Waits until the carrier has `count` messages with a code for the number; notices are passed over. */
async function texts(count: number): Promise<string[]> {
  let after = count - 1;
  for (;;) {
    const query = new URLSearchParams({ to: NUMBER, wait: "20", after: String(after) });
    const answer = await fetch(`${env("SALLYPORT_SMS")}?${query}`);
    const messages = ((await answer.json()) as { text: string }[]).map((m) => m.text);
    const codes = messages.filter((text) => codeIn(text) !== undefined);
    if (codes.length >= count) return codes;
    assert.ok(messages.length > after, `${codes.length} codes, not ${count}`);
    after = messages.length;
  }
}

/** The code on the last line, if there is one. */
function codeIn(text: string): string | undefined {
  return /^@\S+ #(\d{6})$/.exec(text.split("\n").at(-1) ?? "")?.[1];
}

function step(name: string) {
  steps += 1;
  console.log(name);
}

const signIn = open("SignInService");
const codes = open("CodeService");
const twoFactor = open("TwoFactorService");
const passwords = open("PasswordService");
const first = { email: EMAIL, password: PASSWORD };

await call(passwords, "SetPasswordByLink", { link_token: env("SALLYPORT_LINK"), password: PASSWORD });
step("set a password by the link");

await refused(signIn, "SignIn", { email: EMAIL, password: "not the password at all" }, undefined, grpc.status.INVALID_ARGUMENT, "sign_in.failed");
let answer = await call(signIn, "SignIn", first);
assert.equal(answer.stage, "SESSION_STAGE_SIGNED_IN");
step("signed in with the password");

const pending = await call(twoFactor, "EnableTwoFactor", { number: NUMBER, idempotency_key: randomUUID() }, answer.session_token);
assert.equal(pending.active, false);
assert.equal(pending.challenge.number_ending, NUMBER.slice(-2));
const text = (await texts(1))[0];
assert.ok(text.includes(pending.challenge.reference));
const enrolled = await call(codes, "VerifyCode", { code: codeIn(text) }, answer.session_token);
assert.equal(enrolled.recovery_codes.length, 10);
step("enrolled the number");

await call(signIn, "SignOut", {}, enrolled.session_token);
await refused(signIn, "GetSession", {}, enrolled.session_token, grpc.status.UNAUTHENTICATED, "session.expired");
answer = await call(signIn, "SignIn", first);
assert.equal(answer.stage, "SESSION_STAGE_AWAITING_SECOND_FACTOR");
await refused(twoFactor, "GetTwoFactor", {}, answer.session_token, grpc.status.FAILED_PRECONDITION, "second_factor_required");
const seen = (await texts(1)).length;
await call(codes, "SendSignInCode", { idempotency_key: randomUUID() }, answer.session_token);
const code = codeIn((await texts(seen + 1)).at(-1) ?? "");
step("sent the code of the sign-in");

await refused(codes, "ResendCode", { idempotency_key: randomUUID() }, answer.session_token, grpc.status.RESOURCE_EXHAUSTED, "code.resend_too_early");
const wrong = code === "000000" ? "000001" : "000000";
await refused(codes, "VerifyCode", { code: wrong }, answer.session_token, grpc.status.INVALID_ARGUMENT, "code.wrong");
const done = await call(codes, "VerifyCode", { code }, answer.session_token);
assert.ok(done.session_token);
step("signed in with the code");

// Wrong codes, challenge after challenge: the fifth ends each, and the fifteenth in a row locks.
for (let challenge = 0; challenge < 3; challenge++) {
  answer = await call(signIn, "SignIn", first);
  await call(codes, "SendSignInCode", { idempotency_key: randomUUID() }, answer.session_token);
  for (let attempt = 0; attempt < 5; attempt++) {
    await assert.rejects(call(codes, "VerifyCode", { code: wrong }, answer.session_token));
  }
}
answer = await call(signIn, "SignIn", first);
await refused(codes, "SendSignInCode", { idempotency_key: randomUUID() }, answer.session_token, grpc.status.RESOURCE_EXHAUSTED, "second_factor.locked");
step("locked the second step");

await call(codes, "UseRecoveryCode", { recovery_code: enrolled.recovery_codes[0].toLowerCase() }, answer.session_token);
step("signed in with a recovery code past the lock");
console.log(`walked ${steps} steps`);
process.exit(0);
