// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { changes, condense, filterLines, linesOf, optionOn, pullStep, recordSummary, standing, time, timesOf } from "./figures.ts";
import type { Provider, RouterState, Traffic } from "./types.ts";

function traffic(minutes: number): Traffic {
  const ones = Array.from({ length: minutes }, () => 1);
  const times = Array.from({ length: minutes }, (_, i) => (i % 2 === 0 ? null : i));
  return {
    from: 600,
    step_s: 60,
    minutes,
    requests: ones,
    failures: ones,
    private: ones,
    local: ones,
    cloud: ones,
    input_tokens: ones,
    output_tokens: ones,
    cost_micro_usd: ones,
    reference_micro_usd: ones,
    tasks: { explanation: ones },
    p50_ms: times,
    p95_ms: times,
    p99_ms: times,
    first_p50_ms: ones.map(() => null),
    first_p95_ms: times,
  };
}

const provider = (change: Partial<Provider> = {}): Provider => ({
  provider: "p",
  kind: "ollama",
  is_local: true,
  is_available: true,
  state: "up",
  breaker: "closed",
  next_retry: null,
  failure_count: 0,
  in_flight: 0,
  waiting: 0,
  avg_latency_ms: null,
  error_message: null,
  models: [],
  missing_models: [],
  ...change,
});

const state = (change: Partial<RouterState> = {}): RouterState => ({
  ready: true,
  reason: null,
  in_flight: 0,
  streams: 0,
  answers: 0,
  failures: 0,
  private: 0,
  input_tokens: 0,
  output_tokens: 0,
  cost_micro_usd: 0,
  approvals: 0,
  audit_ready: true,
  ledger_failing: false,
  providers: [provider()],
  ...change,
});

test("few minutes stay as they are; many are added up, and the longest time counts", () => {
  const few = traffic(60);
  assert.equal(condense(few, 120), few);
  const many = condense(traffic(5), 2);
  assert.equal(many.step_s, 180);
  assert.deepEqual(many.requests, [3, 2]);
  assert.deepEqual(many.tasks["explanation"], [3, 2]);
  assert.deepEqual(many.p50_ms, [1, 3]);
  assert.deepEqual(many.first_p50_ms, [null, null]);
  assert.deepEqual(timesOf(many), [600, 780]);
});

test("a provider's standing in a word: the breaker says more than the last probe", () => {
  assert.deepEqual(standing(provider()), { word: "up", tone: "good" });
  assert.equal(standing(provider({ is_available: false })).tone, "bad");
  assert.equal(standing(provider({ state: "loading", is_available: false })).word, "loading");
  assert.equal(standing(provider({ breaker: "open", state: "down" })).word, "breaker open");
  assert.equal(standing(provider({ breaker: "half_open" })).tone, "warn");
  assert.equal(standing(provider({ state: "down" })).word, "down");
});

test("what has changed is told in words, figures are not", () => {
  assert.deepEqual(changes(undefined, state()), []);
  assert.deepEqual(changes(state(), state({ answers: 5, in_flight: 2 })), []);
  assert.deepEqual(changes(state(), state({ ready: false, reason: "shutting down" })), ["The router cannot serve: shutting down."]);
  assert.deepEqual(changes(state({ ready: false }), state()), ["The router can serve again."]);
  assert.deepEqual(changes(state(), state({ providers: [provider({ breaker: "open" }), provider({ provider: "new" })] })), ["p: breaker open."]);
  assert.deepEqual(changes(state(), state({ approvals: 1 })), ["A call of a tool waits for approval."]);
  assert.deepEqual(changes(state({ approvals: 3 }), state({ approvals: 2 })), []);
  assert.deepEqual(changes(state(), state({ audit_ready: false })), ["The audit cannot be written."]);
});

test("an option of the top level is found in the configuration's text, and none below another", () => {
  const text = "# x\nproviders:\n  one:\n    allow_pull: true\nairgap: false          # default\nallow_pull: true   # file:3\n";
  assert.equal(optionOn(text, "airgap"), false);
  assert.equal(optionOn(text, "allow_pull"), true);
  assert.equal(optionOn("  allow_pull: true\n", "allow_pull"), undefined);
});

test("lines are found without regard to capitals", () => {
  assert.deepEqual(filterLines("One\ntwo\n", ""), ["One", "two"]);
  assert.deepEqual(filterLines("One\ntwo\n", " ONE "), ["One"]);
  assert.deepEqual(filterLines("One\n", "x"), []);
});

test("a step of a download is read with care", () => {
  assert.deepEqual(pullStep('{"status":"pulling","total":10,"completed":4}'), { status: "pulling", total: 10, completed: 4, error: undefined });
  assert.equal(pullStep('{"error":"no such model"}')?.error, "no such model");
  assert.equal(pullStep('{"status":7,"total":0}')?.total, undefined);
  assert.equal(pullStep("null"), undefined);
  assert.equal(pullStep("{"), undefined);
});

test("lines come out whole, wherever the bytes were cut", async () => {
  const bytes = new TextEncoder().encode('{"a":"\u00e4\u20ac"}\n\n{"b":1}\n{"c":2}');
  for (let at = 0; at <= bytes.length; at++) {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes.slice(0, at));
        controller.enqueue(bytes.slice(at));
        controller.close();
      },
    });
    const lines: string[] = [];
    for await (const line of linesOf(stream)) lines.push(line);
    assert.deepEqual(lines, ['{"a":"\u00e4\u20ac"}', '{"b":1}', '{"c":2}']);
  }
});

test("a record in a sentence has names only, and no digest", () => {
  assert.equal(
    recordSummary({ seq: 1, time: "", type: "intent", provider: "anthropic", zone: "cloud", sha256: "ff", bytes: 7, model: "m" }),
    "provider anthropic, model m, zone cloud",
  );
});

test("a time that is none is shown as it came", () => {
  assert.equal(time(null), "-");
  assert.equal(time("2026-11-23T09:00:00Z") === "-", false);
  assert.equal(time("yesterday"), "yesterday");
});
