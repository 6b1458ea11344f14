// SPDX-License-Identifier: Apache-2.0
/*
 * conversation - what the page knows of the open conversation: frames go in, a new state comes out. Pure.
 *
 *   path     the messages that count, from the first to the last; an answer that runs is its last but for a queued question
 *   branch   siblings stand at each message; those of other branches are not here, the router tells them when it is asked
 *
 * Exactly one of complete, interrupted and error ends an answer (docs/chat.md). What comes for an answer that is not
 * running is passed over: after a reconnect `history` has it already.
 */
import type { Approval, Facts, Frame, Message, MessageState, Mode, Told, ToolCall } from "./protocol.ts";

export interface Remark {
  key: number;
  kind: "notice" | "error";
  text: string;
}

export interface Conversation {
  id: string;
  loaded: boolean; // the router has told what there is
  path: Message[];
  running: number | undefined;
  queued: number | undefined;
  approvals: Approval[];
  remarks: Remark[]; // what is shown above the composer until the next question
  summaries: Readonly<Record<number, string>>; // after which message, what was told
  mode: Mode;
  model: string;
  title: string;
  private: boolean;
  system: string;
  tools: boolean;
  kept: boolean;
  window: { used?: number; size?: number } | undefined;
  /** What was said about the last thing that happened; read out. */
  spoken: string;
}

export function begin(id: string, mode: Mode, model: string): Conversation {
  return {
    id,
    loaded: false,
    path: [],
    running: undefined,
    queued: undefined,
    approvals: [],
    remarks: [],
    summaries: {},
    mode,
    model,
    title: "",
    private: false,
    system: "",
    tools: true,
    kept: true,
    window: undefined,
    spoken: "",
  };
}

export function applyAll(c: Conversation, frames: readonly Frame[]): Conversation {
  return frames.reduce(apply, c);
}

export function apply(c: Conversation, f: Frame): Conversation {
  switch (f.type) {
    case "connected":
      return settled({ ...c, loaded: c.loaded || (f.history_count === 0 && f.running !== true) }, f);
    case "session":
      return settled(c, f);
    case "history":
      return takeHistory(c, f.messages.map(rooted));
    case "message":
      return takeMessage(c, rooted(f.message), f.queued === true);
    case "begin":
      return takeBegin(c, f.n, f.parent);
    case "token":
      return change(c, (m) => ({ ...m, content: m.content + f.content }));
    case "reasoning":
      return change(c, (m) => ({ ...m, reasoning: (m.reasoning ?? "") + f.content }));
    case "tool_call_start":
      return changeCall(c, f.id, () => ({ id: f.id, name: f.name }));
    case "tool_call":
      return changeCall(c, f.id, (old) => ({ ...old, id: f.id, name: f.name, input: f.input, ...(f.server === undefined ? {} : { server: f.server }) }));
    case "tool_result":
      return changeCall(without(c, (a) => a.call === f.id), f.id, (old) => ({
        ...(old ?? { id: f.id, name: "" }),
        result: f.result,
        is_error: f.is_error === true,
        ...(f.quality === undefined ? {} : { quality: f.quality }),
      }));
    case "approval":
      return {
        ...without(c, (a) => a.id === f.id),
        approvals: [...c.approvals.filter((a) => a.id !== f.id), f],
        spoken: `The tool ${f.name} waits for your approval.`,
      };
    case "decided":
      return { ...without(c, (a) => a.id === f.id), spoken: f.decision.startsWith("approve") ? "Approved." : "Not approved." };
    case "complete": {
      const { n, ...facts } = f;
      return { ...end(c, n, "complete", facts), window: f.window ?? c.window, spoken: `Answer complete. ${f.zone ?? ""} ${f.model ?? ""}`.trim() };
    }
    case "interrupted":
      return interrupted(c, f.n, f.dropped);
    case "error":
      if (f.n === undefined) return remark(c, "error", f.retry_after === undefined ? f.message : `${f.message} Try again in ${f.retry_after} s.`);
      return { ...end(c, f.n, "error", { error: f.message }), spoken: `No answer: ${f.message}` };
    case "summary":
      return summed(c, f.messages, f.model ?? undefined);
    case "notice":
      return remark(c, "notice", f.message);
    default:
      return c; // a newer router knows more
  }
}

/* ---- the session's own members ---- */

function settled(c: Conversation, f: Extract<Frame, { type: "connected" | "session" }>): Conversation {
  return {
    ...c,
    mode: f.mode ?? c.mode,
    model: f.model ?? c.model,
    title: f.title ?? c.title,
    private: f.private ?? c.private,
    system: f.system ?? c.system,
    tools: f.tools ?? c.tools,
    kept: f.kept ?? c.kept,
    spoken: f.private === true && !c.private ? "This conversation is private now. It stays local." : c.spoken,
  };
}

let remarks = 0;

function remark(c: Conversation, kind: Remark["kind"], text: string): Conversation {
  const kept = c.remarks.filter((r) => r.text !== text).slice(-2);
  return { ...c, remarks: [...kept, { key: ++remarks, kind, text }] };
}

export function dismiss(c: Conversation, key: number): Conversation {
  return { ...c, remarks: c.remarks.filter((r) => r.key !== key) };
}

function summed(c: Conversation, messages: number, model: string | undefined): Conversation {
  const last = c.path.at(-1);
  const what =
    model === undefined
      ? `The window is full: the oldest ${messages} messages are no longer sent to the model.`
      : `The window is full: the oldest ${messages} messages are sent as a summary from now on, made here by ${model}.`;
  return last === undefined ? c : { ...c, summaries: { ...c.summaries, [last.n]: what }, spoken: what };
}

function without(c: Conversation, gone: (a: Approval) => boolean): Conversation {
  return c.approvals.some(gone) ? { ...c, approvals: c.approvals.filter((a) => !gone(a)) } : c;
}

/* ---- messages ---- */

function rooted(m: Told): Message {
  return { ...m, parent: m.parent ?? 0 };
}

function takeHistory(c: Conversation, messages: Message[]): Conversation {
  const running = messages.findLast((m) => m.state === "running");
  const asked = messages.at(-1);
  const window = messages.findLast((m) => m.facts?.window !== undefined)?.facts?.window;
  const calls = new Set(running?.tool_calls?.filter((t) => t.result === undefined).map((t) => t.id));
  return {
    ...c,
    loaded: true,
    path: messages,
    running: running?.n,
    queued: running !== undefined && asked?.role === "user" ? asked.n : undefined,
    approvals: c.approvals.filter((a) => calls.has(a.call)),
    window,
  };
}

/** The path as far as this message, which is its last then. 0: nothing. */
function upTo(path: readonly Message[], n: number): Message[] {
  const at = path.findIndex((m) => m.n === n);
  return n === 0 ? [] : at < 0 ? [...path] : path.slice(0, at + 1);
}

function takeMessage(c: Conversation, m: Message, queued: boolean): Conversation {
  return { ...c, loaded: true, path: [...upTo(c.path, m.parent), m], queued: queued ? m.n : c.queued, remarks: [] };
}

function takeBegin(c: Conversation, n: number, parent: number): Conversation {
  const others = c.path.find((m) => m.parent === parent && m.role === "assistant");
  const siblings = [...new Set([...(others === undefined ? [] : (others.siblings ?? [others.n])), n])];
  const answer: Message = { n, parent, role: "assistant", content: "", state: "running", siblings };
  return { ...c, path: [...upTo(c.path, parent), answer], running: n, queued: c.queued === parent ? undefined : c.queued, approvals: [], spoken: "The answer begins." };
}

/** The answer that runs, changed. */
function change(c: Conversation, how: (m: Message) => Message): Conversation {
  if (c.running === undefined) return c;
  return { ...c, path: c.path.map((m) => (m.n === c.running ? how(m) : m)) };
}

function changeCall(c: Conversation, id: string, how: (old: ToolCall | undefined) => ToolCall): Conversation {
  return change(c, (m) => {
    const calls = m.tool_calls ?? [];
    const old = calls.find((t) => t.id === id);
    return { ...m, tool_calls: old === undefined ? [...calls, how(undefined)] : calls.map((t) => (t.id === id ? how(t) : t)) };
  });
}

function end(c: Conversation, n: number, state: MessageState, facts: Facts): Conversation {
  if (c.running !== n) return c;
  return {
    ...c,
    path: c.path.map((m) => (m.n === n ? { ...m, state, facts: { ...m.facts, ...facts } } : m)),
    running: undefined,
    approvals: [],
  };
}

function interrupted(c: Conversation, n: number | undefined, dropped: number | undefined): Conversation {
  const ended = n === undefined ? c : { ...end(c, n, "interrupted", {}), spoken: "The answer was stopped." };
  const gone = dropped ?? ended.queued;
  return gone === undefined ? ended : { ...ended, queued: undefined, path: ended.path.filter((m) => m.n !== gone) };
}

/** The branch before or after the one that counts, at this message. */
export function sibling(m: Message, step: -1 | 1): number | undefined {
  const all = m.siblings ?? [];
  const at = all.indexOf(m.n);
  return at < 0 ? undefined : all[at + step];
}
