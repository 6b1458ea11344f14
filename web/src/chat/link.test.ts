// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { isId, Link, newId } from "./link.ts";
import type { LinkState } from "./link.ts";
import { parseFrame } from "./protocol.ts";
import type { Frame } from "./protocol.ts";

class Socket {
  readyState = 0;
  url: string;
  said: string[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  constructor(url: string) {
    this.url = url;
  }
  send(text: string): void {
    this.said.push(text);
  }
  close(): void {
    this.readyState = 3;
  }
  hear(frame: object): void {
    this.readyState = 1;
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  end(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

function begin(): { link: Link; sockets: Socket[]; states: LinkState[]; waits: number[]; go: () => void; frames: Frame[] } {
  const sockets: Socket[] = [];
  const states: LinkState[] = [];
  const waits: number[] = [];
  const frames: Frame[] = [];
  let due: (() => void) | undefined;
  (globalThis as { location?: unknown }).location = { protocol: "http:", host: "127.0.0.1:8484" };
  const link = new Link({
    id: "abc-12345",
    mode: "hybrid",
    model: "a/b c",
    onFrames: (list) => frames.push(...list),
    onState: (state) => states.push(state),
    connect: (url) => {
      const socket = new Socket(url);
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
    later: (run, ms) => {
      waits.push(ms);
      due = run;
    },
    random: () => 1,
  });
  return { link, sockets, states, waits, frames, go: () => due?.() };
}

const HELLO = { type: "connected", session_id: "abc-12345", history_count: 0 };

test("the address names session, mode and model", () => {
  assert.equal(begin().sockets[0]?.url, "ws://127.0.0.1:8484/ws/abc-12345?mode=hybrid&model=a%2Fb+c");
});

test("history is asked for when there is some, or an answer runs", () => {
  const { sockets } = begin();
  sockets[0]?.hear(HELLO);
  assert.deepEqual(sockets[0]?.said, []);
  sockets[0]?.hear({ ...HELLO, history_count: 3 });
  sockets[0]?.hear({ ...HELLO, running: true });
  assert.deepEqual(sockets[0]?.said, ['{"type":"get_history"}', '{"type":"get_history"}']);
});

test("after a broken connection it comes back, later and later, and at once when it is hurried", () => {
  const { link, sockets, states, waits, go } = begin();
  sockets[0]?.hear(HELLO);
  for (let i = 0; i < 8; i++) {
    sockets.at(-1)?.end(i % 2 === 0 ? 1006 : 1013);
    go();
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]);
  sockets.at(-1)?.end(1001);
  assert.equal(states.at(-1), "waiting");
  const before = sockets.length;
  link.hurry();
  assert.equal(sockets.length, before + 1);
  go(); // the wait that was hurried opens no second one
  assert.equal(sockets.length, before + 1);
  sockets.at(-1)?.hear(HELLO);
  sockets.at(-1)?.end(1006);
  assert.equal(waits.at(-1), 500);
});

test("it stays away after 1000, 4001 and 4003", () => {
  for (const [code, state] of [[1000, "ended"], [4001, "login"], [4003, "forbidden"]] as const) {
    const { sockets, states, waits, link } = begin();
    sockets[0]?.end(code);
    assert.equal(states.at(-1), state);
    link.hurry();
    assert.deepEqual([waits.length, sockets.length], [0, 1]);
  }
});

test("nothing is said without a connection, and nothing heard after the end", async () => {
  const { link, sockets, frames } = begin();
  assert.equal(link.say({ type: "interrupt" }), false);
  sockets[0]?.hear(HELLO);
  assert.equal(link.say({ type: "interrupt" }), true);
  await new Promise((done) => setImmediate(() => setTimeout(done, 0)));
  assert.equal(frames.length, 1);
  link.close();
  sockets[0]?.hear({ type: "token", content: "x" });
  await new Promise((done) => setImmediate(() => setTimeout(done, 0)));
  assert.equal(frames.length, 1);
});

test("frames that are none are passed over", () => {
  for (const text of ["", "{", "[]", "null", "1", '{"typ":"x"}', '{"type":1}']) assert.equal(parseFrame(text), undefined);
  assert.deepEqual(parseFrame('{"type":"token","content":"x"}'), { type: "token", content: "x" });
});

test("names of sessions", () => {
  const id = newId();
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(isId(id));
  for (const bad of ["", "new", "short", "a".repeat(65), "has space1", "../../etc1", "ümlaut-1234"]) assert.equal(isId(bad), false);
});
