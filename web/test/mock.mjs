// SPDX-License-Identifier: Apache-2.0
//
// mock - stands in for the router while the page is worked on: web/dist, the REST of docs/chat.md and its socket, with
// answers that are made up. It serves nobody but this machine.
//
//   a question with      the answer
//   "tool"               calls a tool that waits for approval
//   "error"              fails
//   "cut"                breaks the connection in mid-answer, and goes on meanwhile
//   "private"            is private, and makes the conversation so
//   "evil"               all that a page must not fall for
//   anything else        Markdown with a table and code, word by word
//
// usage: node web/test/mock.mjs [PORT]     prints the address; "login" in MOCK asks for the key "secret"
import { createHash } from "node:crypto";
import { readFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../dist");
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml", txt: "text/plain" };
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const sessions = new Map();
let loggedIn = process.env.MOCK !== "login";

const WORDS = `Two conflicts were found for **block 7**.

| Resident | Week | Conflict |
|---|:-:|---|
| PGY2-03 | 2 | night float and clinic |
| PGY1-11 | 3 | above 80 hours |

\`\`\`python
def hours(week):
    """All duty hours of a week."""
    return sum(shift.hours for shift in week if shift.counts)  # breaks excluded
\`\`\`

1. Move the *clinic* half day.
2. Swap the night with PGY2-07, see [the rules](https://www.acgme.org/).
`;
const EVIL = `<script>window.pwned=1</script><img src=x onerror="window.pwned=2">

[click](javascript:window.pwned=3) [data](data:text/html,<script>window.pwned=4</script>) ![track](https://tracker.invalid/pixel.png)

<iframe srcdoc="<script>parent.pwned=5</script>"></iframe>
`;
const FACTS = { provider: "ollama", model: "llama3.2", zone: "local", mode: "hybrid", task: "tool_calling", why: "tools: a local model is good enough", cost_micro_usd: 0, saved_micro_usd: 310, first_token_ms: 180, total_ms: 2100, tokens_per_s: 38.5, usage: { input_tokens: 812, output_tokens: 124 }, request_id: "4f1c" };

function session(id) {
  let s = sessions.get(id);
  if (s === undefined) {
    s = { id, messages: [], leaf: 0, sockets: new Set(), timer: undefined, running: undefined, waits: undefined, last: Date.now(), set: { mode: "hybrid", model: "", title: "", private: false, system: "", tools: true, kept: true } };
    sessions.set(id, s);
  }
  return s;
}

const find = (s, n) => s.messages.find((m) => m.n === n);
const tell = (s, frame) => s.sockets.forEach((socket) => socket.say(frame));

function path(s) {
  const out = [];
  for (let m = find(s, s.leaf); m !== undefined; m = find(s, m.parent)) out.unshift(view(s, m));
  return out;
}

function view(s, m) {
  const all = s.messages.filter((o) => o.parent === m.parent && o.role === m.role).map((o) => o.n);
  return { ...m, ...(all.length > 1 ? { siblings: all } : {}) };
}

function add(s, message) {
  const m = { n: s.messages.length + 1, timestamp: new Date().toISOString(), ...message };
  s.messages.push(m);
  s.leaf = m.n;
  s.last = Date.now();
  return m;
}

function ask(s, parent, content, ref, attachments) {
  const question = add(s, { parent, role: "user", content, state: "complete", ...(attachments ? { attachments: attachments.map((a) => ({ name: a.name, type: a.type, bytes: a.data.length })) } : {}) });
  tell(s, { type: "message", message: view(s, question), ref, queued: s.running !== undefined });
  if (s.set.title === "") s.set.title = content.slice(0, 60);
  if (s.running === undefined) answer(s, question);
  else s.queued = question;
}

function answer(s, question) {
  const m = add(s, { parent: question.n, role: "assistant", content: "", state: "running", reasoning: "" });
  s.running = m;
  tell(s, { type: "begin", n: m.n, parent: question.n });
  const text = question.content;
  if (text.includes("error")) return void (s.timer = setTimeout(() => end(s, { type: "error", n: m.n, code: "all_providers_failed", message: "No provider gave an answer.", fatal: false }, "error"), 300));
  m.reasoning = "The person asks about the schedule. I look at the block first.";
  tell(s, { type: "reasoning", content: m.reasoning });
  if (text.includes("private")) {
    s.set = { ...s.set, private: true, mode: "local" };
    tell(s, { type: "session", ...s.set });
  }
  if (text.includes("tool")) {
    const call = { id: "call_0", name: "swap_shifts", server: "sched", input: { from: "PGY2-03", to: "PGY2-07", week: 2 } };
    m.tool_calls = [call];
    tell(s, { type: "tool_call_start", id: call.id, name: call.name });
    tell(s, { type: "tool_call", ...call });
    s.waits = () => {
      call.result = { tool_name: call.name, text: '{"swapped": true}' };
      call.is_error = false;
      tell(s, { type: "tool_result", id: call.id, result: call.result, is_error: false });
      stream(s, m, WORDS);
    };
    tell(s, { type: "approval", id: "p1", call: call.id, name: call.name, server: "sched", input: call.input, effect: "write", until: new Date(Date.now() + 300_000).toISOString(), always: false });
    return;
  }
  if (text.includes("cut")) setTimeout(() => s.sockets.forEach((socket) => socket.cut()), 500);
  stream(s, m, text.includes("evil") ? EVIL : WORDS);
}

function stream(s, m, text) {
  const words = text.match(/\s*\S+\s*/g);
  let i = 0;
  s.timer = setInterval(() => {
    if (i === words.length) return end(s, { type: "complete", n: m.n, ...FACTS, mode: s.set.mode, private: s.set.private, ...(s.set.private ? { findings: "name=1", why: "private stays home" } : {}), window: { used: 936 + 400 * s.messages.length, size: 8192 } }, "complete");
    m.content += words[i];
    tell(s, { type: "token", content: words[i++] });
  }, 25);
}

function end(s, frame, state) {
  clearInterval(s.timer);
  const m = s.running;
  m.state = state;
  const { message, ...facts } = frame;
  m.facts = state === "error" ? { error: message } : state === "complete" ? facts : undefined;
  s.running = s.waits = undefined;
  tell(s, frame);
  const next = s.queued;
  s.queued = undefined;
  if (next !== undefined && state !== "interrupted") {
    next.parent = m.n;
    answer(s, next);
  }
}

function hear(s, socket, f) {
  const target = find(s, f.message);
  if (f.type === "get_history") socket.say({ type: "history", session_id: s.id, messages: path(s), leaf: s.leaf });
  else if (f.type === "user_message") ask(s, s.leaf, f.content, f.ref, f.attachments);
  else if (f.type === "edit") ask(s, target.parent, f.content);
  else if (f.type === "retry") answer(s, find(s, target.parent));
  else if (f.type === "approve") {
    tell(s, { type: "decided", id: f.id, decision: f.decision === "approve" ? "approved" : "denied", by: "local" });
    s.waits?.();
  } else if (f.type === "branch") {
    s.leaf = target.n;
    for (let m = target; m !== undefined; m = s.messages.findLast((o) => o.parent === m.n)) s.leaf = m.n;
    tell(s, { type: "history", session_id: s.id, messages: path(s), leaf: s.leaf });
  } else if (f.type === "interrupt" && s.running !== undefined) end(s, { type: "interrupted", n: s.running.n, message: "The answer was stopped.", partial_response: true }, "interrupted");
  else if (f.type === "set") {
    for (const key of ["mode", "model", "system", "title", "tools"]) if (f[key] !== undefined) s.set[key] = f[key];
    tell(s, { type: "session", ...s.set });
  }
}

/* ---- frames of RFC 6455, as far as a browser on this machine needs them ---- */

function upgrade(request, stream) {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  stream.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${createHash("sha1").update(key).digest("base64")}\r\n\r\n`);
  const frame = (op, body) => {
    const n = body.length;
    const head = n < 126 ? Buffer.from([0x80 | op, n]) : n < 65536 ? Buffer.from([0x80 | op, 126, n >> 8, n & 255]) : Buffer.from([0x80 | op, 127, 0, 0, 0, 0, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
    if (!stream.destroyed) stream.write(Buffer.concat([head, body]));
  };
  const socket = { say: (f) => frame(1, Buffer.from(JSON.stringify(f))), cut: () => stream.destroy() };
  if (!loggedIn) return void frame(8, Buffer.from([4001 >> 8, 4001 & 255]));
  const s = session(decodeURIComponent(new URL(request.url, "http://x").pathname.slice(4)));
  s.sockets.add(socket);
  stream.on("close", () => s.sockets.delete(socket));
  stream.on("error", () => undefined);
  socket.say({ type: "connected", session_id: s.id, history_count: s.messages.length, running: s.running !== undefined, ...s.set });
  let bytes = Buffer.alloc(0);
  stream.on("data", (data) => {
    bytes = Buffer.concat([bytes, data]);
    for (;;) {
      if (bytes.length < 6) return;
      const short = bytes[1] & 127;
      const at = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length < at + 4) return;
      const n = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
      if (bytes.length < at + 4 + n) return;
      const mask = bytes.subarray(at, at + 4);
      const body = Buffer.from(bytes.subarray(at + 4, at + 4 + n)).map((b, i) => b ^ mask[i & 3]);
      const op = bytes[0] & 15;
      bytes = bytes.subarray(at + 4 + n);
      if (op === 8) return void stream.end();
      if (op === 1) hear(s, socket, JSON.parse(body.toString()));
    }
  });
}

/* ---- files and REST ---- */

const ROUTES = {
  "GET /chat/me": () => ({ user: "local", name: "local", admin: true, login: process.env.MOCK === "login" ? "cookie" : "none", kept: true, modes: ["local", "hybrid", "cloud"], message_bytes: 4194304, version: "0.1.0" }),
  "GET /router/models": () => ({ models: [{ name: "llama3.2", provider: "ollama", is_local: true, loaded: true, context: 8192 }, { name: "mistral", provider: "ollama", is_local: true, loaded: false, context: null }, { name: "gpt-5", provider: "openai", is_local: false, loaded: false, context: 200000 }], roles: { fast: ["ollama/llama3.2"], tools: ["ollama/mistral"] } }),
  "GET /router/providers": () => [{ provider: "ollama", is_local: true, is_available: true, state: "up", missing_models: ["phi4"] }, { provider: "openai", is_local: false, is_available: true, state: "up" }],
};

function listed(query) {
  const word = (query.get("q") ?? "").toLowerCase();
  return [...sessions.values()]
    .filter((s) => s.messages.length > 0 && s.set.title.toLowerCase().includes(word))
    .sort((a, b) => b.last - a.last)
    .map((s) => ({ session_id: s.id, title: s.set.title, message_count: s.messages.length, created_at: new Date(s.last).toISOString(), last_activity: new Date(s.last).toISOString(), mode: s.set.mode, model: s.set.model, private: s.set.private }));
}

function serve(request, response) {
  const url = new URL(request.url, "http://x");
  const json = (value, status = 200) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
  const name = url.pathname === "/" || url.pathname === "/chat" ? "chat.html" : url.pathname === "/operator" ? "operator.html" : url.pathname.replace(/^\/assets\//, "");
  if (request.method === "GET" && /^[\w.-]+$/.test(name) && existsSync(join(dist, name))) return response.writeHead(200, { "Content-Type": TYPES[name.split(".").pop()], "Content-Security-Policy": CSP }).end(readFileSync(join(dist, name)));
  let body = "";
  request.on("data", (data) => (body += data));
  request.on("end", () => {
    if (url.pathname === "/chat/login") {
      loggedIn = JSON.parse(body).key === "secret";
      return json(loggedIn ? {} : { error: { message: "No valid API key was given." } }, loggedIn ? 200 : 401);
    }
    if (url.pathname === "/chat/logout") return json({ done: !(loggedIn = false) });
    if (!loggedIn) return json({ error: { message: "No valid API key was given." } }, 401);
    const route = ROUTES[`${request.method} ${url.pathname}`];
    if (route !== undefined) return json(route());
    if (url.pathname === "/chat/sessions") return json({ sessions: listed(url.searchParams) });
    const one = /^\/chat\/sessions\/([^/]+)$/.exec(url.pathname)?.[1];
    if (one !== undefined && request.method === "DELETE") return sessions.delete(one), response.writeHead(204).end();
    if (one !== undefined && request.method === "POST") return (session(one).set.title = JSON.parse(body).title), json({});
    return json({ error: { message: "Nothing is served at this path." } }, 404);
  });
}

const server = createServer(serve);
server.on("upgrade", upgrade);
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
