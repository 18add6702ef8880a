// A carrier that Sallyport did not write: npm `smpp` on one side, a small HTTP interface to read
// what arrived on the other. Tests use it to find out whether another implementation of SMPP 3.4
// understands ours; `make up` uses it as the telephone network of one machine.

import { createServer } from "node:http";
import { parseArgs } from "node:util";

const USAGE = `node smsc.mjs [options]

  --port N          SMPP port on 127.0.0.1, 0 for any free one        (2775)
  --http-port N     HTTP port on 127.0.0.1, 0 for any free one        (2780)
  --system-id NAME  whom to let in                                     (sallyport)
  --password WORD   with which password, at most 8 characters          (secret)
  --throttle N      refuse the first N messages with ESME_RTHROTTLED   (0)
  --delay MS        wait so many milliseconds before an answer         (0)
  --no-receipts     send no delivery receipts
  --quiet           print the ports and nothing else

On stdout: one JSON line with the ports. On stderr: what happens.

  GET /health                          200 while both sides listen
  GET /messages?to=%2B33601020304      what arrived there, oldest first
      &wait=SECONDS&after=N            and wait until there are more than N
  GET /counts                          how many arrived at each number
  PUT /holding?on=true|false           take messages and never answer them
`;

/** Ends the program with a sentence: a usage error is 2, a failure is 1. */
function stop(sentence, code = 1) {
  process.stderr.write(`smsc: ${sentence}\n`);
  process.exit(code);
}

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        port: { type: "string", default: "2775" },
        "http-port": { type: "string", default: "2780" },
        "system-id": { type: "string", default: "sallyport" },
        password: { type: "string", default: "secret" },
        throttle: { type: "string", default: "0" },
        delay: { type: "string", default: "0" },
        "no-receipts": { type: "boolean", default: false },
        quiet: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    stop(`${error.message}\n\n${USAGE}`, 2);
  }
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const whole = (name, most) => {
    const value = Number(values[name]);
    if (!/^\d+$/.test(values[name]) || value > most) {
      stop(`--${name} takes a whole number up to ${most}, not "${values[name]}"`, 2);
    }
    return value;
  };
  return {
    port: whole("port", 65535),
    httpPort: whole("http-port", 65535),
    systemId: values["system-id"],
    password: values.password,
    throttle: whole("throttle", 1_000_000),
    delay: whole("delay", 600_000),
    receipts: !values["no-receipts"],
    quiet: values.quiet,
  };
}

const options = readOptions();

const smpp = await import("smpp").then(
  (module) => module.default,
  (error) => {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    stop(`the package "smpp" is not installed; run: npm ci --prefix ${import.meta.dirname ?? "tests/foreign-smsc"}`);
  },
);

const log = (sentence) => options.quiet || process.stderr.write(`${new Date().toISOString()} ${sentence}\n`);

// ---- messages -------------------------------------------------------------------------------

/** Complete messages in the order in which they became complete. */
const messages = [];
/** Parts of long messages that wait for the rest, by origin, destination and reference. */
const pieces = new Map();
/** Long polls; each is called whenever a message became complete. */
const waiting = new Set();
let lastId = 0;

const INTERNATIONAL = 1;
const address = (ton, digits) => (ton === INTERNATIONAL && !digits.startsWith("+") ? `+${digits}` : digits);
const digits = (number) => number.replace(/^\+/, "");
const to = (number) => messages.filter((message) => digits(message.to) === digits(number));

/** The text of one PDU: from `message_payload` where the text is too long for `short_message`. */
function textOf(pdu) {
  const body = pdu.short_message?.message;
  const message = body?.length ? body : (pdu.message_payload?.message ?? body ?? "");
  return Buffer.isBuffer(message) ? message.toString("hex") : message;
}

/** Reference, number of parts and index of a part (3GPP TS 23.040, 9.2.3.24.1 and .8; or SAR). */
function placeOf(pdu) {
  const udh = pdu.short_message?.udh ?? [];
  for (const element of udh) {
    if (element[0] === 0x00 && element[1] === 3) return { reference: element[2], total: element[3], index: element[4] };
    if (element[0] === 0x08 && element[1] === 4) {
      return { reference: element.readUInt16BE(2), total: element[4], index: element[5] };
    }
  }
  if (pdu.sar_total_segments) {
    return { reference: pdu.sar_msg_ref_num, total: pdu.sar_total_segments, index: pdu.sar_segment_seqnum };
  }
  return { reference: 0, total: 1, index: 1 };
}

/** Puts a part where it belongs; the message is listed when the last of its parts has arrived. */
function receive(pdu, id) {
  const message = {
    id,
    from: address(pdu.source_addr_ton, pdu.source_addr),
    to: address(pdu.dest_addr_ton, pdu.destination_addr),
    text: textOf(pdu),
    data_coding: pdu.data_coding,
    parts: 1,
    at: new Date().toISOString(),
  };
  const { reference, total, index } = placeOf(pdu);
  if (total > 1) {
    const key = `${message.from} ${message.to} ${reference} ${total}`;
    const found = pieces.get(key) ?? new Map();
    found.set(index, message);
    pieces.set(key, found);
    if (found.size < total) return;
    pieces.delete(key);
    const sorted = [...found].sort(([a], [b]) => a - b).map(([, part]) => part);
    message.id = sorted[0].id;
    message.text = sorted.map((part) => part.text).join("");
    message.parts = total;
  }
  messages.push(message);
  log(`message ${message.id} from ${message.from} to ${message.to}: ${message.text}`);
  for (const wake of waiting) wake();
}

// ---- SMPP -----------------------------------------------------------------------------------

const bound = new Set();
let toThrottle = options.throttle;
/** While true, messages are taken and never answered. */
let holding = false;

/** YYMMDDhhmm, as in a receipt (SMPP 3.4, appendix B). */
const stamp = (date) => date.toISOString().replace(/\D/g, "").slice(2, 12);

function sendReceipt(session, pdu, id) {
  // A session that went away is replaced by another one of the same customer, as carriers do.
  const through = bound.has(session) ? session : [...bound][0];
  if (!through) return log(`receipt of ${id} is lost: nobody is bound`);
  const now = stamp(new Date());
  through.deliver_sm({
    source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi,
    source_addr: pdu.destination_addr,
    dest_addr_ton: pdu.source_addr_ton,
    dest_addr_npi: pdu.source_addr_npi,
    destination_addr: pdu.source_addr,
    esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
    data_coding: 0,
    short_message: {
      message: `id:${id} sub:001 dlvrd:001 submit date:${now} done date:${now} stat:DELIVRD err:000 text:`,
    },
    receipted_message_id: id,
    message_state: smpp.MESSAGE_STATE.DELIVERED,
  });
}

function submit(session, pdu) {
  if (!bound.has(session)) {
    return session.send(pdu.response({ command_status: smpp.ESME_RINVBNDSTS }));
  }
  if (toThrottle > 0) {
    toThrottle -= 1;
    log(`throttled, ${toThrottle} to go`);
    return session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
  }
  lastId += 1;
  const id = String(lastId).padStart(10, "0");
  receive(pdu, id);
  if (holding) {
    log(`answer to ${id} is held back`);
    return;
  }
  const sent = session.send(pdu.response({ message_id: id }));
  // Registered delivery (5.2.17): 1 asks for success and failure, 3 for success alone.
  const wanted = (pdu.registered_delivery & 3) === 1 || (pdu.registered_delivery & 3) === 3;
  if (!sent) log(`answer to ${id} is lost: the session is closed`);
  if (options.receipts && wanted) sendReceipt(session, pdu, id);
}

const smsc = smpp.createServer((session) => {
  session.on("bind_transceiver", (pdu) => {
    let command_status = smpp.ESME_ROK;
    if (pdu.system_id !== options.systemId) command_status = smpp.ESME_RINVSYSID;
    else if (pdu.password !== options.password) command_status = smpp.ESME_RINVPASWD;
    else if (bound.has(session)) command_status = smpp.ESME_RALYBND;
    if (command_status === smpp.ESME_ROK) bound.add(session);
    log(`bind_transceiver of ${pdu.system_id}: status ${command_status}`);
    session.send(pdu.response({ command_status, system_id: "foreign-smsc" }));
    if (command_status !== smpp.ESME_ROK && !bound.has(session)) session.close();
  });
  for (const command of ["bind_transmitter", "bind_receiver"]) {
    session.on(command, (pdu) => session.send(pdu.response({ command_status: smpp.ESME_RBINDFAIL })));
  }
  session.on("submit_sm", (pdu) =>
    options.delay ? setTimeout(submit, options.delay, session, pdu) : submit(session, pdu),
  );
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    bound.delete(session);
    session.send(pdu.response());
    session.close();
  });
  session.on("unknown", (pdu) => session.send(pdu.response()));
  session.on("error", (error) => {
    log(`session: ${error.message}`);
    session.destroy();
  });
  session.on("close", () => bound.delete(session));
});

// ---- HTTP -----------------------------------------------------------------------------------

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

function listMessages(query, response) {
  const number = query.get("to");
  if (!number) return answer(response, 400, { error: "name a number: /messages?to=%2B33…" });
  const after = Number(query.get("after") ?? 0);
  const wait = Number(query.get("wait") ?? 0);
  if (!(after >= 0) || !(wait >= 0 && wait <= 600)) {
    return answer(response, 400, { error: "after is a number from 0, wait a number of seconds from 0 to 600" });
  }
  if (!wait || to(number).length > after) return answer(response, 200, to(number));
  const finish = () => {
    clearTimeout(timer);
    waiting.delete(wake);
    if (!response.destroyed) answer(response, 200, to(number));
  };
  const wake = () => to(number).length > after && finish();
  const timer = setTimeout(finish, wait * 1000);
  waiting.add(wake);
  response.on("close", () => {
    clearTimeout(timer);
    waiting.delete(wake);
  });
}

function countMessages(response) {
  const counts = {};
  for (const { to } of messages) counts[to] = (counts[to] ?? 0) + 1;
  answer(response, 200, counts);
}

const http = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://loopback");
  if (request.method === "PUT" && pathname === "/holding") {
    holding = searchParams.get("on") === "true";
    return answer(response, 200, { holding });
  }
  if (request.method !== "GET") return answer(response, 405, { error: "GET, or PUT /holding" });
  if (pathname === "/health") return answer(response, 200, { bound: bound.size, messages: messages.length });
  if (pathname === "/messages") return listMessages(searchParams, response);
  if (pathname === "/counts") return countMessages(response);
  return answer(response, 404, { error: "there is /health, /messages, /counts and /holding" });
});

// ---- start and stop -------------------------------------------------------------------------

function listen(server, port, name) {
  return new Promise((resolve) => {
    server.once("error", (error) =>
      stop(error.code === "EADDRINUSE" ? `port ${port} (${name}) is taken; choose another` : `${name}: ${error.message}`),
    );
    server.listen(port, "127.0.0.1", () => resolve(server.address().port));
  });
}

const smppPort = await listen(smsc, options.port, "--port");
const httpPort = await listen(http, options.httpPort, "--http-port");
process.stdout.write(`${JSON.stringify({ smpp_port: smppPort, http_port: httpPort })}\n`);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
