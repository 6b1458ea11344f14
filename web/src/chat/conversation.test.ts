// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyAll, begin, dismiss, sibling } from "./conversation.ts";
import type { Conversation } from "./conversation.ts";
import type { Frame, Message } from "./protocol.ts";

const fresh = (): Conversation => begin("11111111-2222", "hybrid", "");
const question = (n: number, parent: number, content = `q${n}`): Message => ({ n, parent, role: "user", content, state: "complete" });
const asked = (n: number, parent: number, queued = false): Frame => ({ type: "message", message: question(n, parent), queued });
const run = (...frames: Frame[]): Conversation => applyAll(fresh(), frames);
const CONNECTED: Frame = { type: "connected", session_id: "11111111-2222", history_count: 0, mode: "hybrid", model: "", title: "", private: false, kept: true };
const token = (content: string): Frame => ({ type: "token", content });

test("a question, its answer, its facts", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, { type: "reasoning", content: "hm" }, token("Hel"), token("lo"), { type: "complete", n: 2, zone: "local", model: "m", window: { used: 10, size: 100 } });
  assert.deepEqual(c.path.map((m) => [m.n, m.content, m.state]), [[1, "q1", "complete"], [2, "Hello", "complete"]]);
  assert.equal(c.path[1]?.reasoning, "hm");
  assert.equal(c.path[1]?.facts?.zone, "local");
  assert.equal(c.running, undefined);
  assert.deepEqual(c.window, { used: 10, size: 100 });
  assert.match(c.spoken, /complete.*local m/);
});

test("nothing of an answer comes after its end", () => {
  for (const last of [{ type: "complete", n: 2 }, { type: "interrupted", n: 2 }, { type: "error", n: 2, message: "no" }] as Frame[]) {
    const done = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, token("a"), last);
    assert.deepEqual(applyAll(done, [token("b"), { type: "reasoning", content: "x" }, { type: "tool_call_start", id: "c", name: "t" }]).path, done.path);
    assert.equal(applyAll(done, [{ type: "complete", n: 2 }]).path[1]?.state, last.type);
  }
});

test("an end of another answer is passed over", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, { type: "complete", n: 7 });
  assert.equal(c.running, 2);
});

test("an interrupt keeps what was there and takes back what waits", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, token("part"), asked(3, 2, true));
  assert.equal(c.queued, 3);
  const stopped = applyAll(c, [{ type: "interrupted", n: 2, partial_response: true, dropped: 3 }]);
  assert.deepEqual(stopped.path.map((m) => [m.n, m.state]), [[1, "complete"], [2, "interrupted"]]);
  assert.equal(stopped.queued, undefined);
  assert.deepEqual(run(CONNECTED, { type: "interrupted" }).path, []);
});

test("what was queued is answered next", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, asked(3, 2, true), { type: "complete", n: 2 }, { type: "begin", n: 4, parent: 3 }, token("x"));
  assert.deepEqual(c.path.map((m) => m.n), [1, 2, 3, 4]);
  assert.deepEqual([c.queued, c.running], [undefined, 4]);
});

test("retry and edit make branches; the path is cut where they begin", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, { type: "complete", n: 2 }, asked(3, 2), { type: "begin", n: 4, parent: 3 }, { type: "complete", n: 4 });
  const retried = applyAll(c, [{ type: "begin", n: 5, parent: 1 }]);
  assert.deepEqual(retried.path.map((m) => m.n), [1, 5]);
  assert.deepEqual(retried.path[1]?.siblings, [2, 5]);
  const again = applyAll(retried, [{ type: "complete", n: 5 }, { type: "begin", n: 6, parent: 1 }]);
  assert.deepEqual(again.path[1]?.siblings, [2, 5, 6]);
  const edited = applyAll(c, [{ type: "message", message: { ...question(7, 2), siblings: [3, 7] } }]);
  assert.deepEqual(edited.path.map((m) => m.n), [1, 2, 7]);
  const first = applyAll(c, [{ type: "message", message: { ...question(8, 0), siblings: [1, 8] } }]);
  assert.deepEqual(first.path.map((m) => m.n), [8]);
});

test("the router leaves out a parent where there is none", () => {
  const { parent, ...root } = question(9, 0);
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, { type: "complete", n: 2 }, { type: "message", message: root });
  assert.deepEqual(c.path.map((m) => [m.n, m.parent]), [[9, 0]]);
  const { parent: none, ...old } = question(1, 0);
  assert.equal(run(CONNECTED, { type: "history", session_id: "x", messages: [old] }).path[0]?.parent, 0);
});

test("branches before and after", () => {
  const m: Message = { ...question(5, 1), siblings: [2, 5, 6] };
  assert.deepEqual([sibling(m, -1), sibling(m, 1)], [2, 6]);
  assert.equal(sibling({ ...m, n: 2 }, -1), undefined);
  assert.equal(sibling(question(1, 0), 1), undefined);
});

test("a tool call, from its beginning to its result, with an approval in between", () => {
  const start = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, { type: "tool_call_start", id: "c0", name: "swap" });
  assert.deepEqual(start.path[1]?.tool_calls, [{ id: "c0", name: "swap" }]);
  const waits = applyAll(start, [
    { type: "tool_call", id: "c0", name: "swap", input: { a: 1 }, server: "sched" },
    { type: "approval", id: "p", call: "c0", name: "swap", server: "sched", input: { a: 1 }, effect: "write", until: "2026-11-23T10:00:00Z" },
  ]);
  assert.equal(waits.approvals.length, 1);
  assert.match(waits.spoken, /waits for your approval/);
  const decided = applyAll(waits, [{ type: "decided", id: "p", decision: "approved", by: "local" }]);
  assert.deepEqual(decided.approvals, []);
  const done = applyAll(decided, [{ type: "tool_result", id: "c0", result: { tool_name: "swap", text: "ok" }, is_error: false }]);
  assert.deepEqual(done.path[1]?.tool_calls, [{ id: "c0", name: "swap", input: { a: 1 }, server: "sched", result: { tool_name: "swap", text: "ok" }, is_error: false }]);
  // One that timed out is answered by its result alone.
  assert.deepEqual(applyAll(waits, [{ type: "tool_result", id: "c0", result: {}, is_error: true }]).approvals, []);
});

test("a reload in mid-answer: history, and what comes after it, make one text", () => {
  const running: Message = { n: 2, parent: 1, role: "assistant", content: "Hel", state: "running" };
  const c = run({ ...CONNECTED, history_count: 2, running: true }, { type: "history", session_id: "x", messages: [question(1, 0), running], leaf: 2 }, token("lo"), { type: "complete", n: 2 });
  assert.equal(c.path[1]?.content, "Hello");
  assert.equal(c.path[1]?.state, "complete");
});

test("tokens before the history are in it already, and are not doubled", () => {
  const running: Message = { n: 2, parent: 1, role: "assistant", content: "Hello", state: "running" };
  const c = run({ ...CONNECTED, history_count: 2, running: true }, token("lo"), { type: "history", session_id: "x", messages: [question(1, 0), running] });
  assert.equal(c.path[1]?.content, "Hello");
  assert.equal(c.loaded, true);
});

test("private: told once, and it stays", () => {
  const c = run(CONNECTED, { type: "session", private: true, mode: "local" });
  assert.deepEqual([c.private, c.mode], [true, "local"]);
  assert.match(c.spoken, /stays local/);
});

test("an error without a number ends nothing and is shown once", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "begin", n: 2, parent: 1 }, { type: "error", message: "bad frame" }, { type: "error", message: "bad frame" });
  assert.equal(c.running, 2);
  assert.equal(c.remarks.length, 1);
  assert.deepEqual(dismiss(c, c.remarks[0]?.key ?? 0).remarks, []);
});

test("a full window is told where it happened", () => {
  const c = run(CONNECTED, asked(1, 0), { type: "summary", messages: 6, tokens: 900, model: "llama3.2" });
  assert.match(c.summaries[1] ?? "", /oldest 6 messages.*llama3\.2/);
  assert.match(run(CONNECTED, asked(1, 0), { type: "summary", messages: 6, tokens: 0, model: null }).summaries[1] ?? "", /no longer sent/);
});

test("a frame of an unknown type changes nothing", () => {
  const c = run(CONNECTED);
  assert.equal(applyAll(c, [{ type: "later" } as unknown as Frame]), c);
});
