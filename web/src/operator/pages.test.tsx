// SPDX-License-Identifier: Apache-2.0
// Each page with a router that is made up, whose every text would like to be markup.
import assert from "node:assert/strict";
import { test } from "node:test";
import { render } from "preact";
import { FakeSource, stage } from "../../test/stage.ts";
import type { Answers, Stage } from "../../test/stage.ts";
import type { RouterState } from "./types.ts";

const EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

const provider = (name: string): object => ({
  provider: name,
  kind: "ollama",
  is_local: true,
  is_available: true,
  state: "up",
  breaker: "open",
  next_retry: "2026-11-23T10:00:00Z",
  failure_count: 1,
  in_flight: 2,
  waiting: 3,
  avg_latency_ms: 12.5,
  error_message: EVIL,
  refused: EVIL,
  instances: [{ instance: `${name}#2`, is_available: false, state: "down", breaker: "closed", next_retry: null, failure_count: 0, in_flight: 0, waiting: 0, avg_latency_ms: null, error_message: null }],
  models: [EVIL],
  missing_models: ["lost"],
});

const STATE = {
  ready: false,
  reason: EVIL,
  in_flight: 4,
  streams: 1,
  answers: 90,
  failures: 10,
  private: 50,
  input_tokens: 1000,
  output_tokens: 2000,
  cost_micro_usd: 1234567,
  approvals: 1,
  audit_ready: false,
  ledger_failing: true,
  providers: [provider(EVIL)],
} as unknown as RouterState;

const list = [1, 0, 2];
const ROW = { requests: 3, answered: 2, private: 1, local: 2, input_tokens: 5, output_tokens: 6, cost_usd: 0.5, saved_usd: -0.25, saved_by_local_usd: 1 };
const APPROVAL = { id: "ap_1", decision: "pending", server: EVIL, tool: "move", effect: "write", arguments: { note: EVIL }, key: EVIL, rememberable: true, asked: "2026-11-23T10:00:00Z", until: "2026-11-23T11:00:00Z", decided: null, decided_by: null, remembered: false };
const OUTLOOK = {
  is_private: true,
  pseudonyms: false,
  findings: { mrn: 1, [EVIL]: 2 },
  task: "explanation",
  class: { name: "explanation", sure: true, needs_cloud: 0.1, complexity: 0.2, why: EVIL, scores: { explanation: 0.9, simple_query: 0.1 } },
  explicit: false,
  reason: EVIL,
  rules: [{ rule: "private", rank: "1", looks_at: EVIL, does: "y" }],
  plan: [{ provider: EVIL, model: "m", zone: "local", why: "role fast", state: "open" }],
  skipped: [{ candidate: EVIL, why: "it is in the cloud" }],
  error: { code: "c", message: EVIL },
};

const ANSWERS: Record<string, unknown> = {
  "/chat/me": { user: "local", name: EVIL, admin: true, login: "none", kept: true, modes: ["local"], message_bytes: 4194304, version: "1" },
  "/router/traffic": {
    from: 1_790_000_000,
    step_s: 60,
    minutes: 3,
    requests: list,
    failures: list,
    private: list,
    local: list,
    cloud: list,
    input_tokens: list,
    output_tokens: list,
    cost_micro_usd: list,
    reference_micro_usd: list,
    tasks: { explanation: list, [EVIL]: list },
    p50_ms: [1, null, 2],
    p95_ms: [1, null, 2],
    p99_ms: [1, null, 2],
    first_p50_ms: [null, null, null],
    first_p95_ms: [null, null, null],
  },
  "/router/usage": {
    since: "2026-11-01",
    until: "2026-11-23",
    by: "day",
    reference_model: EVIL,
    rows: [{ day: EVIL, ...ROW }],
    total: ROW,
    truncated: true,
    note: "an estimate",
    budget: { day: { spent_usd: 4, limit_usd: 5, level: "warning" }, month: { spent_usd: 4, limit_usd: null, level: "ok" } },
  },
  "/router/models": { models: [{ name: EVIL, provider: "p", is_local: true, loaded: true, context: 8192 }], roles: { [EVIL]: [EVIL] } },
  "/router/servers": {
    servers: [
      { name: EVIL, transport: "stdio", zone: "local", state: "ready", why: null, revision: "2025-11-25", title: EVIL, message_bytes: 4194304, version: EVIL, restarts: 2, tools: [{ name: EVIL, id: "x", title: EVIL, description: `${EVIL}\nmore`, effect: "read", data: "none", approval: "auto", refused: null, schema: { description: EVIL } }] },
      { name: "off", transport: "http", zone: "cloud", state: "down", why: EVIL, revision: "", title: null, message_bytes: 4194304, version: null, restarts: 0, tools: [] },
    ],
  },
  "/router/approvals": { approvals: [APPROVAL, { ...APPROVAL, id: "ap_0", decision: "approved", decided_by: EVIL, decided: "2026-11-23T10:00:00Z" }] },
  "/router/config": `allow_pull: true   # file\n${EVIL}\n`,
  "/router/keys": { keys: [{ id: "k_1", name: EVIL, created: "2026-11-23T10:00:00Z", revoked: null, last_used: null, admin: true, rpm: 60, models: [EVIL] }] },
  "/router/audit": { records: [{ seq: 7, time: "2026-11-23T10:00:00Z", type: "intent", provider: EVIL, zone: "cloud" }], last_seq: 7, more: true },
  "/router/explain": OUTLOOK,
};

const answers: Answers = (call) => ANSWERS[call.path.split("?")[0] ?? ""];

const PLACES = ["overview", "traffic", "costs", "models", "tools", "approvals", "try", "keys", "audit", "config"];

async function play(say: Answers, then: (s: Stage, main: () => Element) => Promise<void>): Promise<void> {
  const s = stage(say);
  const { App } = await import("./main.tsx");
  const root = document.createElement("div");
  document.body.append(root);
  try {
    render(<App />, root);
    await s.settle();
    await then(s, () => document.querySelector("main") ?? root);
  } finally {
    render(null, root);
    await s.settle();
  }
}

async function go(s: Stage, place: string): Promise<void> {
  location.hash = place;
  window.dispatchEvent(new Event("hashchange"));
  await s.settle();
}

function button(name: string): HTMLButtonElement {
  const found = [...document.querySelectorAll("button")].find((one) => (one.getAttribute("aria-label") ?? one.textContent).trim() === name);
  assert.ok(found, `there is no button ${name}`);
  return found;
}

function type(selector: string, text: string): void {
  const input = document.querySelector<HTMLInputElement>(selector);
  assert.ok(input, selector);
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

void test("every page shows what it is told as text, with one heading, named tables and labelled fields", () =>
  play(answers, async (s, main) => {
    FakeSource.all.at(-1)?.open();
    FakeSource.all.at(-1)?.tell("state", STATE);
    for (const place of PLACES) {
      await go(s, place);
      if (place === "try") {
        type("#try-text", "a text");
        await s.settle();
        document.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
        await s.settle();
      }
      assert.equal(document.querySelectorAll("img, script, iframe, object, embed").length, 0, place);
      assert.equal(document.querySelectorAll("h1").length, 1, place);
      assert.ok(main().textContent.includes("onerror"), `${place} does not show what it was told: ${main().textContent}`);
      for (const table of main().querySelectorAll("table"))
        if (!table.classList.contains("u-legend")) assert.ok((table.querySelector("caption")?.textContent ?? "") !== "", `${place}: a table without a caption`);
      for (const input of main().querySelectorAll("input, select, textarea")) assert.ok(input.closest("label") !== null || document.querySelector(`label[for="${input.id}"]`) !== null, `${place}: ${input.id} has no label`);
      assert.equal(document.querySelector('nav.places [aria-current="page"]')?.getAttribute("href"), `#${place}`);
    }
    assert.equal(FakeSource.all.length, 1, "one stream of events for all pages");
  }));

void test("a call is approved with what was ticked, and the list is asked for again", () =>
  play((call) => (call.method === "POST" ? { decision: "approved" } : answers(call)), async (s) => {
    await go(s, "approvals");
    document.querySelector<HTMLInputElement>('article input[type="checkbox"]')?.click();
    await s.settle();
    const before = s.calls.filter((call) => call.path === "/router/approvals").length;
    button(`Approve ${EVIL}/move`).click();
    await s.settle();
    assert.deepEqual(s.calls.find((call) => call.method === "POST"), { method: "POST", path: "/router/approvals/ap_1", headers: { Accept: "application/json", "Content-Type": "application/json" }, body: { decision: "approve", remember: "session" } });
    assert.equal(s.calls.filter((call) => call.path === "/router/approvals").length, before + 1);
  }));

void test("a refusal of a decision is told, and it can be tried again", () =>
  play(
    (call) => (call.method === "POST" ? new Response('{"detail":"nothing waits under this id"}', { status: 404 }) : answers(call)),
    async (s, main) => {
      await go(s, "approvals");
      button(`Deny ${EVIL}/move`).click();
      await s.settle();
      assert.match(main().textContent, /nothing waits under this id/);
      assert.equal(button(`Deny ${EVIL}/move`).disabled, false);
    },
  ));

void test("the route is asked for with its mode and mark, and told by verdict, class, plan and skips", () =>
  play(answers, async (s, main) => {
    await go(s, "try");
    type("#try-text", "Who is on call?");
    const mode = document.querySelector<HTMLSelectElement>("#try-mode");
    assert.ok(mode);
    mode.value = "local";
    mode.dispatchEvent(new Event("change", { bubbles: true }));
    document.querySelector<HTMLInputElement>('form input[type="checkbox"]')?.click();
    await s.settle();
    document.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await s.settle();
    const asked = s.calls.find((call) => call.path === "/router/explain");
    assert.deepEqual(asked?.body, { prompt: "Who is on call?" });
    assert.equal(asked.headers["X-LLM-Mode"], "local");
    assert.equal(asked.headers["X-LLM-Sensitivity"], "private");
    for (const word of ["Private: it stays", "mrn", "explanation", "role fast", "breaker open", "it is in the cloud", "It would be refused"]) assert.ok(main().textContent.includes(word), word);
  }));

void test("a download shows its steps, and one that breaks off is none", () =>
  play(
    (call) => (call.path === "/api/pull" ? new Response('{"status":"pulling","total":10,"completed":5}\n') : answers(call)),
    async (s, main) => {
      await go(s, "models");
      type("#pull-name", "llama3.2");
      await s.settle();
      document.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
      await s.settle();
      assert.deepEqual(s.calls.find((call) => call.path === "/api/pull")?.body, { model: "llama3.2" });
      assert.match(main().textContent, /broke off before its end/);
    },
  ));

void test("airgap offers no download", () =>
  play(
    (call) => (call.path === "/router/config" ? "airgap: true\nallow_pull: true\n" : answers(call)),
    async (s, main) => {
      await go(s, "models");
      assert.equal(document.querySelector("#pull-name"), null);
      assert.match(main().textContent, /airgap/);
    },
  ));

void test("a new key is shown once, then gone", () =>
  play(
    (call) => (call.method === "POST" ? { id: "k_9", name: "Desk", key: "sk-shown-once" } : answers(call)),
    async (s, main) => {
      await go(s, "keys");
      type("#key-name", "Desk");
      type("#key-rpm", "60");
      await s.settle();
      document.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
      await s.settle();
      assert.deepEqual(s.calls.find((call) => call.method === "POST")?.body, { name: "Desk", rules: { rpm: "60" } });
      assert.ok(main().textContent.includes("sk-shown-once"));
      button("I have it").click();
      await s.settle();
      assert.ok(!main().textContent.includes("sk-shown-once"));
    },
  ));

void test("older records of the audit follow those that are shown", () =>
  play(
    (call) =>
      call.path.startsWith("/router/audit?") && call.path.includes("before=7")
        ? { records: [{ seq: 6, time: "2026-11-23T09:00:00Z", type: "exchange" }], last_seq: 7, more: false }
        : answers(call),
    async (s, main) => {
      await go(s, "audit");
      button("Older records").click();
      await s.settle();
      assert.deepEqual(
        [...main().querySelectorAll("tbody th")].map((cell) => cell.textContent),
        ["7", "6"],
      );
    },
  ));

void test("verification: well, and not well", () =>
  play(
    (call) => (call.method === "POST" ? { ok: false, files: 1, records: 2, checkpoints: 0, problems: [{ file: "a", line: 3, seq: 2, what: "the digest does not fit" }], unsigned_records: 0, first_seq: 1, last_seq: 2, last_hash: "ff", last_time: "" } : answers(call)),
    async (s, main) => {
      await go(s, "audit");
      button("Verify now").click();
      await s.settle();
      assert.match(main().textContent, /1 problem found/);
      assert.match(main().textContent, /the digest does not fit/);
    },
  ));

void test("what a router does not serve is told apart from what fails", () =>
  play(
    (call) => (call.path.startsWith("/router/audit") ? null : call.path.startsWith("/router/servers") ? new Response("{}", { status: 503 }) : answers(call)),
    async (s, main) => {
      await go(s, "audit");
      assert.match(main().textContent, /does not tell its audit over HTTP/);
      await go(s, "tools");
      assert.match(main().textContent, /cannot serve this right now/);
      button("Try again").click();
      await s.settle();
      assert.equal(s.calls.filter((call) => call.path === "/router/servers").length, 2);
    },
  ));

void test("without a login there is a login, without the right admin a word about it", async () => {
  await play(
    (call) => (call.path === "/chat/me" ? new Response("{}", { status: 401 }) : answers(call)),
    async (_s, main) => {
      assert.match(main().textContent, /Log in/);
      assert.equal(FakeSource.all.length, 0);
      await Promise.resolve();
    },
  );
  await play(
    (call) => (call.path === "/chat/me" ? { user: "k", admin: false, login: "cookie", kept: true, modes: [], message_bytes: 4194304, version: "1" } : answers(call)),
    async (_s, main) => {
      assert.match(main().textContent, /do not have the right|does not have the right/);
      assert.equal(FakeSource.all.length, 0);
      await Promise.resolve();
    },
  );
});

void test("a stream that is refused because the login has ended brings the login", () => {
  let ended = false;
  return play(
    (call) => (ended && call.path === "/chat/me" ? new Response("{}", { status: 401 }) : answers(call)),
    async (s, main) => {
      ended = true;
      FakeSource.all[0]?.refuse();
      await s.settle();
      assert.match(main().textContent, /Log in/);
    },
  );
});

void test("a stream that is refused says so and can be connected again; what changes is read out", () =>
  play(answers, async (s) => {
    const first = FakeSource.all[0];
    assert.ok(first);
    first.open();
    first.tell("state", { ...STATE, ready: true, approvals: 0 });
    first.tell("state", STATE);
    await s.settle();
    assert.match(document.querySelector('[role="status"]')?.textContent ?? "", /cannot serve.*waits for approval/);
    first.refuse();
    await s.settle();
    button("Connect again").click();
    await s.settle();
    assert.equal(FakeSource.all.length, 2);
  }));
