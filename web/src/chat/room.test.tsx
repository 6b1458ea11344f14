// SPDX-License-Identifier: Apache-2.0
// The open conversation as a person meets it: what is on the page, what is said over the socket.
import assert from "node:assert/strict";
import { test } from "node:test";
import { render } from "preact";
import { all, settled, show } from "../../test/dom.ts";
import type { Me } from "../shared/api.ts";
import { Room } from "./room.tsx";

interface Heard {
  type: string;
  [member: string]: unknown;
}

class Socket {
  static last: Socket;
  readyState = 1;
  heard: Heard[] = [];
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  constructor(readonly url: string) {
    Socket.last = this;
  }
  send(text: string): void {
    this.heard.push(JSON.parse(text) as Heard);
  }
  close(): void {
    this.readyState = 3;
  }
  async says(...frames: object[]): Promise<void> {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    await settled();
  }
}

const USER: Me = { user: "local", admin: true, login: "none", kept: true, modes: ["local", "hybrid"], message_bytes: 4194304, version: "0" };
const HELLO = { type: "connected", session_id: "11111111-2222", history_count: 0, mode: "hybrid", model: "", title: "", private: false, kept: true, tools: true, system: "" };
const question = { n: 1, parent: 0, role: "user", content: "hello", state: "complete" };

let logins = 0;

async function open(greeted = true): Promise<{ root: HTMLElement; socket: Socket; end: () => void }> {
  Object.assign(globalThis, {
    WebSocket: Socket,
    location: { protocol: "http:", host: "127.0.0.1:8484" },
    matchMedia: () => ({ matches: false }),
    fetch: () => Promise.resolve(new Response("[]")),
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
  });
  const root = show(
    <Room id="11111111-2222" me={USER} mode="hybrid" model="" onMode={() => undefined} onModel={() => undefined} onChanged={() => undefined} onLogin={() => logins++} />,
  );
  await settled();
  const socket = Socket.last;
  if (greeted) await socket.says(HELLO);
  return {
    root,
    socket,
    end: () => {
      render(null, root);
      root.remove();
    },
  };
}

function button(root: Element, label: RegExp): HTMLButtonElement {
  const found = all(root, "button").find((b) => label.test(b.getAttribute("aria-label") ?? b.textContent));
  assert.ok(found !== undefined, `a button ${String(label)}`);
  return found as HTMLButtonElement;
}

async function write(root: Element, text: string): Promise<void> {
  const area = root.querySelector("textarea[aria-label=Message]") as HTMLTextAreaElement;
  area.value = text;
  area.dispatchEvent(new window.Event("input", { bubbles: true }));
  await settled();
  area.dispatchEvent(new window.KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  await settled();
}

test("ask, watch, stop by Escape", async () => {
  const { root, socket, end } = await open();
  await write(root, "  hello ");
  const asked = socket.heard.at(-1);
  assert.deepEqual([asked?.type, asked?.["content"]], ["user_message", "hello"]);
  await socket.says({ type: "message", message: question, ref: asked?.["ref"] }, { type: "begin", n: 2, parent: 1 }, { type: "token", content: "**Hi**" });
  assert.equal(all(root, ".answer strong")[0]?.textContent, "Hi");
  assert.equal(all(root, ".answer")[0]?.getAttribute("aria-busy"), "true");
  window.dispatchEvent(new window.KeyboardEvent("keydown", { key: "Escape" }));
  await settled();
  assert.deepEqual(socket.heard.at(-1), { type: "interrupt" });
  await socket.says({ type: "interrupted", n: 2, partial_response: true });
  assert.match(all(root, ".answer")[0]?.textContent ?? "", /Stopped/);
  assert.match(all(root, "[role=status][aria-live=polite]")[0]?.textContent ?? "", /stopped/);
  end();
});

test("a private answer in a wide mode: the line, the switch and the badge say that it stayed here", async () => {
  const { root, socket, end } = await open();
  await write(root, "hello");
  await socket.says(
    { type: "message", message: question },
    { type: "session", private: true, mode: "local" },
    { type: "begin", n: 2, parent: 1 },
    { type: "token", content: "x" },
    { type: "complete", n: 2, zone: "local", model: "m", private: true, findings: "mrn=1", why: "private stays home", first_token_ms: 180, tokens_per_s: 38.5, cost_micro_usd: 0 },
  );
  assert.match(all(root, "[data-testid=mode-words]")[0]?.textContent ?? "", /private.*stays on the premises/);
  assert.deepEqual(all(root, "input[name=mode]").map((i) => (i as HTMLInputElement).disabled), [false, true, true]);
  const badge = all(root, "[data-testid=badge]")[0] as HTMLButtonElement;
  assert.match(badge.textContent, /local.*private.*m.*180 ms.*39 tokens\/s.*\$0/);
  badge.click();
  await settled();
  assert.match(all(root, "[data-testid=why]")[0]?.textContent ?? "", /private stays home.*yes: mrn/);
  end();
});

test("a tool that changes data waits for a person; the answer goes to the router once", async () => {
  const { root, socket, end } = await open();
  await write(root, "hello");
  await socket.says(
    { type: "message", message: question },
    { type: "begin", n: 2, parent: 1 },
    { type: "tool_call", id: "c", name: "swap", server: "sched", input: { week: 2 } },
    { type: "approval", id: "ap_1", call: "c", name: "swap", server: "sched", input: { week: 2 }, effect: "write", until: "2026-11-23T10:00:00Z", always: false },
  );
  const card = all(root, "[data-testid=approval]")[0];
  assert.match(card?.textContent ?? "", /May swap run\?.*changes data.*week/s);
  const yes = button(root, /^Approve$/);
  yes.click();
  await settled();
  assert.deepEqual(socket.heard.at(-1), { type: "approve", id: "ap_1", decision: "approve" });
  assert.equal(yes.disabled, true);
  await socket.says({ type: "decided", id: "ap_1", decision: "approved" }, { type: "tool_result", id: "c", result: { tool_name: "swap", text: "done" }, is_error: false });
  assert.deepEqual(all(root, "[data-testid=approval]"), []);
  end();
});

test("edit, retry and branches say what docs/chat.md has", async () => {
  const { root, socket, end } = await open();
  await socket.says({
    type: "history",
    session_id: "x",
    messages: [question, { n: 4, parent: 1, role: "assistant", content: "b", state: "complete", siblings: [2, 4, 5], facts: { zone: "cloud", model: "m" } }],
  });
  button(root, /^Answer again/).click();
  button(root, /branch before/).click();
  button(root, /branch after/).click();
  assert.deepEqual(socket.heard.slice(-3), [
    { type: "retry", message: 4 },
    { type: "branch", message: 2 },
    { type: "branch", message: 5 },
  ]);
  button(root, /^Edit the question/).click();
  await settled();
  const area = root.querySelector(".edit textarea") as HTMLTextAreaElement;
  assert.equal(area.value, "hello");
  area.value = "hello again";
  root.querySelector(".edit")?.dispatchEvent(new window.Event("submit", { bubbles: true, cancelable: true }));
  await settled();
  assert.deepEqual(socket.heard.at(-1), { type: "edit", message: 1, content: "hello again" });
  end();
});

test("an error says what to do; a login that ended asks for another", async () => {
  const { root, socket, end } = await open();
  await socket.says({ type: "history", session_id: "x", messages: [question] }, { type: "begin", n: 2, parent: 1 }, { type: "error", n: 2, message: "No provider gave an answer.", code: "all_providers_failed" });
  assert.match(all(root, ".answer [role=alert]")[0]?.textContent ?? "", /No provider gave an answer\..*Try again/);
  socket.onclose?.({ code: 4001 });
  await settled();
  assert.equal(logins, 1);
  end();
});

test("a question that did not arrive before the connection broke is handed back", async () => {
  const { root, socket, end } = await open();
  await write(root, "lost");
  const area = root.querySelector("textarea[aria-label=Message]") as HTMLTextAreaElement;
  assert.equal(area.value, "");
  await socket.says(HELLO);
  assert.equal(area.value, "lost");
  end();
});

test("a second question waits, a third is not sent", async () => {
  const { root, socket, end } = await open();
  await socket.says({ type: "history", session_id: "x", messages: [question] }, { type: "begin", n: 2, parent: 1 }, { type: "message", message: { ...question, n: 3, parent: 2, content: "next" }, queued: true });
  assert.match(all(root, ".question")[1]?.textContent ?? "", /waits for the answer/);
  const before = socket.heard.length;
  await write(root, "third");
  assert.equal(socket.heard.length, before);
  end();
});

test("what is sent before the connection is there goes as soon as it is, unless it was changed", async () => {
  const { root, socket, end } = await open(false);
  await write(root, "hello?");
  assert.equal(socket.heard.length, 0);
  assert.match(root.textContent, /goes as soon as/);
  await socket.says(HELLO);
  assert.deepEqual(socket.heard.map((m) => m.content), ["hello?"]);
  assert.doesNotMatch(root.textContent, /goes as soon as/);
  end();

  const other = await open(false);
  await write(other.root, "hello?");
  const area = other.root.querySelector("textarea[aria-label=Message]") as HTMLTextAreaElement;
  area.value = "hello? no";
  area.dispatchEvent(new window.Event("input", { bubbles: true }));
  await settled();
  await other.socket.says(HELLO);
  assert.equal(other.socket.heard.length, 0);
  other.end();
});
