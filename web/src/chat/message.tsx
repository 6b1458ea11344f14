// SPDX-License-Identifier: Apache-2.0
// message - one question or answer: text, reasoning, tool calls, who made it and why, and what can be done with it.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { bytes, count, dollars, milliseconds, second } from "../shared/format.ts";
import { Icon, IconButton } from "../shared/ui.tsx";
import { sibling } from "./conversation.ts";
import { Code, copyText, Markdown } from "./markdown.tsx";
import type { Approval, Facts, Message, Said, ToolCall } from "./protocol.ts";
import { foundWords, whyWords } from "./why.ts";

export type Say = (frame: Said) => boolean;

interface MessageProps {
  message: Message;
  approvals: readonly Approval[];
  queued: boolean;
  busy: boolean; // an answer is being made: no branches now
  say: Say;
}

export function MessageView(props: MessageProps): JSX.Element {
  return props.message.role === "user" ? <Question {...props} /> : <Answer {...props} />;
}

/* ---- a question ---- */

function Question({ message: m, queued, busy, say }: MessageProps): JSX.Element {
  const [editing, setEditing] = useState(false);
  return (
    <article class="message question" aria-label="You" data-n={m.n}>
      {editing ? (
        <Edit
          text={m.content}
          onDone={(content) => {
            setEditing(false);
            if (content !== undefined) say({ type: "edit", message: m.n, content });
          }}
        />
      ) : (
        <>
          <div class="said">{m.content}</div>
          {m.attachments !== undefined && m.attachments.length > 0 && (
            <ul class="files" aria-label="Attached files">
              {m.attachments.map((a, i) => (
                <li key={i} class="chip">
                  <Icon name="clip" size={14} />
                  {a.name}
                  {a.bytes !== undefined && ` (${bytes(a.bytes)})`}
                </li>
              ))}
            </ul>
          )}
          <div class="tools">
            {queued && <span class="chip">waits for the answer before it</span>}
            <Branches message={m} busy={busy} say={say} />
            <IconButton icon="edit" label="Edit the question and ask it as a branch" disabled={busy} onClick={() => setEditing(true)} />
            <Copy text={m.content} what="question" />
          </div>
        </>
      )}
    </article>
  );
}

function Edit({ text, onDone }: { text: string; onDone: (content: string | undefined) => void }): JSX.Element {
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(text.length, text.length);
  }, []);
  return (
    <form
      class="edit"
      onSubmit={(event) => {
        event.preventDefault();
        const content = area.current?.value.trim() ?? "";
        if (content !== "") onDone(content);
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        onDone(undefined);
      }}
    >
      <textarea ref={area} aria-label="The question, edited" rows={Math.min(12, text.split("\n").length + 1)} defaultValue={text} />
      <div class="actions">
        <button type="button" onClick={() => onDone(undefined)}>
          Cancel
        </button>
        <button type="submit" class="primary">
          Ask as a branch
        </button>
      </div>
    </form>
  );
}

/* ---- an answer ---- */

function Answer({ message: m, approvals, busy, say }: MessageProps): JSX.Element {
  const running = m.state === "running";
  const empty = m.content === "" && (m.tool_calls ?? []).length === 0;
  return (
    <article class="message answer" aria-label="Answer" aria-busy={running} data-n={m.n}>
      <Reasoning text={m.reasoning ?? ""} running={running && m.content === ""} />
      {m.tool_calls?.map((call) => (
        <Call key={call.id} call={call} running={running} approval={approvals.find((a) => a.call === call.id)} say={say} />
      ))}
      {m.content !== "" && <Markdown text={m.content} />}
      {running && (
        <p class="working">
          <span class="dots" aria-hidden="true" />
          {empty && m.reasoning === undefined ? "Waiting for the model" : "Answering"}
        </p>
      )}
      {m.state === "interrupted" && <p class="state">Stopped. What was there so far is kept.</p>}
      {m.state === "error" && (
        <div class="notice bad" role="alert">
          <Icon name="warn" />
          <span>{m.facts?.error ?? "The answer failed."}</span>
          <button type="button" disabled={busy} onClick={() => say({ type: "retry", message: m.n })}>
            Try again
          </button>
        </div>
      )}
      {!running && (
        <div class="tools">
          {m.facts !== undefined && <Badge facts={m.facts} />}
          <Branches message={m} busy={busy} say={say} />
          <IconButton icon="retry" label="Answer again, as a branch" disabled={busy} onClick={() => say({ type: "retry", message: m.n })} />
          <Copy text={m.content} what="answer" />
        </div>
      )}
    </article>
  );
}

function Reasoning({ text, running }: { text: string; running: boolean }): JSX.Element | null {
  if (text === "") return null;
  return (
    <details class="reasoning">
      <summary>{running ? "Reasoning, as it goes" : `Reasoning (${count(text.split(/\s+/).length)} words)`}</summary>
      <div class="said">{text}</div>
    </details>
  );
}

function Copy({ text, what }: { text: string; what: string }): JSX.Element {
  const [copied, setCopied] = useState(false);
  return (
    <IconButton
      icon={copied ? "check" : "copy"}
      label={copied ? "Copied" : `Copy the ${what}`}
      onClick={() => {
        void copyText(text).then(setCopied);
        setTimeout(() => setCopied(false), 2000);
      }}
    />
  );
}

function Branches({ message: m, busy, say }: { message: Message; busy: boolean; say: Say }): JSX.Element | null {
  const all = m.siblings ?? [];
  if (all.length < 2) return null;
  const before = sibling(m, -1);
  const after = sibling(m, 1);
  const go = (n: number | undefined): void => {
    if (n !== undefined) say({ type: "branch", message: n });
  };
  return (
    <span class="branches" role="group" aria-label="Branches">
      <IconButton icon="left" label="The branch before" disabled={busy || before === undefined} onClick={() => go(before)} />
      <span>
        {all.indexOf(m.n) + 1}/{all.length}
      </span>
      <IconButton icon="right" label="The branch after" disabled={busy || after === undefined} onClick={() => go(after)} />
    </span>
  );
}

/* ---- who answered, and why ---- */

function Badge({ facts: f }: { facts: Facts }): JSX.Element | null {
  const [open, setOpen] = useState(false);
  if (f.zone === undefined && f.model === undefined) return null;
  const local = f.zone === "local";
  const cost = f.cost_micro_usd ?? 0;
  return (
    <>
      <button
        type="button"
        class={`badge ${local ? "local" : "cloud"}`}
        aria-expanded={open}
        title="Who answered, and why"
        data-testid="badge"
        data-zone={f.zone}
        onClick={() => setOpen(!open)}
      >
        <Icon name={local ? "home" : "cloud"} size={15} />
        <strong>{local ? "local" : "cloud"}</strong>
        {f.private === true && (
          <span class="private">
            <Icon name="lock" size={13} /> private
          </span>
        )}
        <span>{f.model}</span>
        {f.first_token_ms !== undefined && <span title="until its first word">{milliseconds(f.first_token_ms)}</span>}
        {f.tokens_per_s !== undefined && <span>{f.tokens_per_s.toFixed(f.tokens_per_s < 10 ? 1 : 0)} tokens/s</span>}
        <span>{dollars(cost)}</span>
        <Icon name="down" size={13} />
      </button>
      {open && <Why facts={f} />}
    </>
  );
}

function Why({ facts: f }: { facts: Facts }): JSX.Element {
  const box = useRef<HTMLDListElement>(null);
  useEffect(() => box.current?.scrollIntoView({ block: "nearest" }), []); // it opens below the line, where there may be no room
  const tokens = (f.usage?.input_tokens ?? 0) + (f.usage?.output_tokens ?? 0);
  const rows: [string, string | undefined][] = [
    ["Why there", whyWords(f)],
    ["Where", f.zone === "local" ? "On the premises: it did not leave." : "In the cloud."],
    ["Provider", f.provider],
    ["Model", f.model],
    ["Mode", f.mode],
    ["Kind of task", f.task],
    ["Private", f.private === true ? `yes${f.findings === undefined ? "" : `: ${foundWords(f.findings)}`}` : "no"],
    ["First word after", f.first_token_ms === undefined ? undefined : milliseconds(f.first_token_ms)],
    ["Took", f.total_ms === undefined ? undefined : milliseconds(f.total_ms)],
    ["Tokens", tokens === 0 ? undefined : `${count(f.usage?.input_tokens ?? 0)} read, ${count(f.usage?.output_tokens ?? 0)} written`],
    ["Cost", dollars(f.cost_micro_usd ?? 0)],
    ["Saved", f.saved_micro_usd === undefined || f.saved_micro_usd === 0 ? undefined : `${dollars(f.saved_micro_usd)}, compared with the cloud`],
    ["Request", [f.request_id, f.why === undefined ? "" : `(${f.why})`].join(" ").trim()],
  ];
  return (
    <dl ref={box} class="why" data-testid="why">
      {rows.map(([name, value]) =>
        value === undefined || value === "" ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

/* ---- tools ---- */

function pretty(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** A text alone is shown as text. */
function resultText(result: unknown): { text: string; language: string } {
  if (typeof result === "object" && result !== null && "text" in result && typeof result.text === "string") {
    const { text } = result;
    return { text, language: /^\s*[[{]/.test(text) ? "json" : "" };
  }
  return { text: pretty(result), language: "json" };
}

function Call({ call, running, approval, say }: { call: ToolCall; running: boolean; approval: Approval | undefined; say: Say }): JSX.Element {
  const done = call.result !== undefined;
  const state = approval !== undefined ? "waits for you" : done ? (call.is_error === true ? "failed" : "done") : running ? "running" : "not finished";
  const kind = state === "failed" ? "bad" : state === "waits for you" ? "warn" : state === "done" ? "good" : "";
  const result = done ? resultText(call.result) : undefined;
  return (
    <section class="call" aria-label={`Tool ${call.name}`}>
      <details>
        <summary>
          <Icon name="tool" size={15} />
          <strong>{call.server === undefined ? call.name : call.name.replace(`${call.server}__`, "")}</strong>
          {call.server !== undefined && <span class="soft">{call.server}</span>}
          <span class={`chip ${kind}`}>{state}</span>
          {call.quality !== undefined && <span class="chip warn">{call.quality}</span>}
        </summary>
        <h4>Arguments</h4>
        {call.input === undefined ? <p class="soft">They are being written.</p> : <Code text={pretty(call.input)} language="json" />}
        {result !== undefined && (
          <>
            <h4>Result</h4>
            <Code text={result.text} language={result.language} />
          </>
        )}
      </details>
      {approval !== undefined && <ApprovalCard approval={approval} say={say} />}
    </section>
  );
}

const EFFECTS: Readonly<Record<string, string>> = {
  read: "It only reads.",
  write: "It changes data.",
  destructive: "It changes or deletes data for good.",
};

export function ApprovalCard({ approval: a, say }: { approval: Approval; say: Say }): JSX.Element {
  const [remember, setRemember] = useState(false);
  const [sent, setSent] = useState(false);
  const decide = (decision: "approve" | "deny"): void => {
    setSent(say({ type: "approve", id: a.id, decision, ...(remember ? { remember } : {}) }));
  };
  return (
    <div class="approval" role="group" aria-label={`Approval of ${a.name}`} data-testid="approval">
      <h4>May {a.name} run?</h4>
      <p>
        {EFFECTS[a.effect] ?? `Its effect: ${a.effect}.`} {a.server !== "" && `It runs on ${a.server}, with these arguments:`}
      </p>
      <Code text={pretty(a.input)} language="json" />
      {a.always !== true && (
        <label class="check">
          <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} /> Do not ask again for this tool in this conversation
        </label>
      )}
      <div class="actions">
        <span class="soft grow">Until {second(new Date(a.until))}; then it counts as denied.</span>
        <button type="button" disabled={sent} onClick={() => decide("deny")}>
          Deny
        </button>
        <button type="button" class="primary" disabled={sent} onClick={() => decide("approve")}>
          Approve
        </button>
      </div>
    </div>
  );
}
