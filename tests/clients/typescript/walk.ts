// Walks sign-in, enrolment, resend and lock against identity over mutual TLS.

import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import protobuf from "protobufjs";

function env(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const EMAIL = env("SALLYPORT_EMAIL");
const NUMBER = env("SALLYPORT_NUMBER");
const PASSWORD = "quiet harbour lends 12 lanterns";
const FIRST_LOCK_SECONDS = 15 * 60;
let steps = 0;

const definition = loader.loadSync(
  ["sign_in", "code", "two_factor", "password"].map((f) => `sallyport/identity/v1/${f}.proto`),
  { includeDirs: [env("SALLYPORT_PROTO")], keepCase: true, enums: String, longs: Number, defaults: true },
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

/** What stands in `grpc-status-details-bin`. The protos import nothing of google.rpc. */
const details = protobuf.parse(
  `syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }`,
  { keepCase: true },
).root;

// eslint-disable-next-line @typescript-eslint/no-explicit-any
function read(name: string, bytes: Uint8Array): any {
  const type = details.lookupType(name);
  return type.toObject(type.decode(bytes), { defaults: true, longs: Number });
}

/** Metadata of the ErrorInfo, and the seconds after which RetryInfo lets the caller try again. */
type Refusal = { metadata: Record<string, string>; wait?: number };

/** The error must be a refusal with this code and reason. */
function refusal(error: unknown, code: grpc.status, reason: string): Refusal {
  const status = error as grpc.ServiceError;
  assert.equal(status.code, code, `${status.code} ${status.details}`);
  const [bytes] = status.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Buffer)) throw new Error(`no details: ${status.details}`);
  let found: string | undefined;
  const told: Refusal = { metadata: {} };
  for (const { type_url, value } of read("google.rpc.Status", bytes).details) {
    const name = String(type_url).split("/").at(-1);
    if (name === "google.rpc.ErrorInfo") {
      const info = read(name, value);
      found = info.reason;
      told.metadata = info.metadata;
    } else if (name === "google.rpc.RetryInfo") {
      const { seconds, nanos } = read(name, value).retry_delay;
      told.wait = seconds + nanos / 1e9;
    }
  }
  assert.equal(found, reason);
  return told;
}

/** The call must be refused with this code and reason. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
async function refused(client: any, method: string, request: Fields, token: string | undefined, code: grpc.status, reason: string): Promise<Refusal> {
  try {
    await call(client, method, request, token);
  } catch (error) {
    return refusal(error, code, reason);
  }
  throw new Error(`not refused: ${reason}`);
}

/** Calls until it is no longer refused for this reason, after the waits that the refusals name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
async function whenOpen(client: any, method: string, request: Fields, token: string, reason: string): Promise<{ answer: any; refusals: number }> {
  for (let refusals = 0; refusals < 5; refusals++) {
    try {
      return { answer: await call(client, method, request, token), refusals };
    } catch (error) {
      const { wait } = refusal(error, grpc.status.RESOURCE_EXHAUSTED, reason);
      if (!wait) throw new Error("a refusal to come back later does not say when");
      await pause(Math.ceil(wait * 1000));
    }
  }
  throw new Error("the waits that the refusals name are too short");
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

const otherThan = (code: string | undefined) => (code === "000000" ? "000001" : "000000");
const milliseconds = (at: { seconds: number; nanos: number }) => at.seconds * 1000 + at.nanos / 1e6;

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
let seen = (await texts(1)).length;
const sent = (await call(codes, "SendSignInCode", { idempotency_key: randomUUID() }, answer.session_token)).challenge;
step("sent the code of the sign-in");

// Too early at first; the same request goes through when the refusal says so.
const again = { idempotency_key: randomUUID() };
const opened = await whenOpen(codes, "ResendCode", again, answer.session_token, "code.resend_too_early");
const resent = opened.answer.challenge;
assert.ok(opened.refusals > 0, "a resend was not too early");
assert.equal(resent.reference, sent.reference);
assert.equal(resent.sends_left, sent.sends_left - 1);
assert.ok(milliseconds(resent.resend_at) > milliseconds(sent.resend_at));
seen += 2;
const both = (await texts(seen)).slice(-2);
let code = codeIn(both[0]);
assert.equal(codeIn(both[1]), code, "a resend repeats the code");
assert.ok(both.every((text) => text.includes(sent.reference)));
step("sent the same code again");

let told = await refused(codes, "VerifyCode", { code: otherThan(code) }, answer.session_token, grpc.status.INVALID_ARGUMENT, "code.wrong");
assert.equal(told.metadata.tries_left, "4");
const done = await call(codes, "VerifyCode", { code }, answer.session_token);
assert.ok(done.session_token);
step("signed in with the code");

// Wrong codes, challenge after challenge: the fifth ends each, and the fifteenth in a row locks.
for (let challenge = 0; challenge < 3; challenge++) {
  answer = await call(signIn, "SignIn", first);
  await call(codes, "SendSignInCode", { idempotency_key: randomUUID() }, answer.session_token);
  seen += 1;
  code = codeIn((await texts(seen)).at(-1) ?? "");
  for (const left of ["4", "3", "2", "1", "0"]) {
    told = await refused(codes, "VerifyCode", { code: otherThan(code) }, answer.session_token, grpc.status.INVALID_ARGUMENT, "code.wrong");
    assert.equal(told.metadata.tries_left, left);
  }
}
// From then on no code is taken, the right one neither, and none is sent.
const tried = answer.session_token;
answer = await call(signIn, "SignIn", first);
assert.equal(answer.stage, "SESSION_STAGE_AWAITING_SECOND_FACTOR");
const locked: [string, Fields, string][] = [
  ["VerifyCode", { code }, tried],
  ["SendSignInCode", { idempotency_key: randomUUID() }, answer.session_token],
];
for (const [method, request, token] of locked) {
  const { wait = 0 } = await refused(codes, method, request, token, grpc.status.RESOURCE_EXHAUSTED, "second_factor.locked");
  assert.ok(wait > 0 && wait <= FIRST_LOCK_SECONDS, `locked for ${wait} s`);
}
step("locked the second step");

await call(codes, "UseRecoveryCode", { recovery_code: enrolled.recovery_codes[0].toLowerCase() }, answer.session_token);
step("signed in with a recovery code past the lock");
console.log(`walked ${steps} steps`);
process.exit(0);
