// SPDX-License-Identifier: Apache-2.0
/*
 * room - the open conversation: its link, its messages, and where the next question is written.
 *
 * A question that was said and did not come back as `message` before the connection broke is put back into the composer,
 * unless the history turns out to have it.
 */
import { Fragment } from "preact";
import type { JSX } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Me } from "../shared/api.ts";
import { useLoad, useTitle } from "../shared/hooks.ts";
import { ErrorBox, Icon, IconButton, Spinner } from "../shared/ui.tsx";
import { Composer } from "./composer.tsx";
import { Gauge, ModelPicker, ModeSwitch, modeWords, Settings } from "./controls.tsx";
import { applyAll, begin, dismiss } from "./conversation.ts";
import type { Conversation } from "./conversation.ts";
import { Link } from "./link.ts";
import type { LinkState } from "./link.ts";
import { ApprovalCard, MessageView } from "./message.tsx";
import { isCloud, loadChoices, nobody } from "./models.ts";
import type { Attachment, Frame, Mode, Params, Said } from "./protocol.ts";

interface RoomProps {
  id: string;
  me: Me;
  mode: Mode;
  model: string;
  onMode: (mode: Mode) => void;
  onModel: (model: string) => void;
  onChanged: () => void; // the list of conversations is not what it was
  onLogin: () => void;
}

const CHANGES = new Set(["complete", "interrupted", "session", "error"]);

export function Room(props: RoomProps): JSX.Element {
  const [c, setC] = useState<Conversation>(() => begin(props.id, props.mode, props.model));
  const [link, setLink] = useState<LinkState>("connecting");
  const [closedBy, setClosedBy] = useState(0);
  const [draft, setDraft] = useState("");
  const [params, setParams] = useState<Params>({});
  const [settings, setSettings] = useState(false);
  const [refused, setRefused] = useState(false);
  const line = useRef<Link | undefined>(undefined);
  const said = useRef<{ ref: string; content: string } | undefined>(undefined);
  const models = useLoad(loadChoices, []);
  const alone = nobody(models.value);
  useEffect(() => {
    if (!alone) return undefined;
    const timer = setTimeout(models.reload, 5000); // it may just be starting
    return () => clearTimeout(timer);
  }, [models.value]);
  useTitle(c.title === "" ? "Chat" : c.title);

  useEffect(() => {
    const take = (frames: Frame[]): void => {
      for (const frame of frames) settleSaid(said, frame, setDraft);
      setC((old) => applyAll(old, frames));
      if (frames.some((f) => CHANGES.has(f.type))) props.onChanged();
    };
    const one = new Link({ id: props.id, mode: props.mode, model: props.model, onFrames: take,
      onState: (state, code) => {
        setLink(state);
        if (code !== undefined) setClosedBy(code);
        if (state === "open" && code === undefined) setClosedBy((old) => (old === 1009 ? old : 0));
      },
    });
    line.current = one;
    const hurry = (): void => {
      if (!document.hidden) one.hurry();
    };
    addEventListener("online", hurry);
    document.addEventListener("visibilitychange", hurry);
    return () => {
      removeEventListener("online", hurry);
      document.removeEventListener("visibilitychange", hurry);
      one.close();
    };
  }, [props.id]);
  useEffect(() => {
    if (link === "login") props.onLogin();
  }, [link]);

  const say = useCallback((frame: Said): boolean => {
    const done = line.current?.say(frame) === true;
    setRefused(!done);
    return done;
  }, []);
  const send = (content: string, attachments: Attachment[]): boolean => {
    const ref = String(Date.now());
    const done = say({ type: "user_message", content, ref, ...(attachments.length > 0 ? { attachments } : {}) });
    if (done) said.current = { ref, content };
    setDraft("");
    return done;
  };
  const stop = useCallback(() => say({ type: "interrupt" }), []);
  useEscape(c.running !== undefined, stop);

  const busy = c.running !== undefined;
  const stays = c.private || c.mode === "local";
  const setModel = (model: string): void => {
    if (say({ type: "set", model })) props.onModel(model);
  };
  return (
    <main id="main" class="room" tabIndex={-1} aria-label="Conversation">
      <header class="room-head">
        <h1 class="room-title">{c.title === "" ? "New conversation" : c.title}</h1>
        <div class="room-controls">
          <ModeSwitch
            mode={c.mode}
            allowed={props.me.modes}
            isPrivate={c.private}
            onChange={(mode) => {
              if (say({ type: "set", mode })) props.onMode(mode);
            }}
          />
          <ModelPicker model={c.model} stays={stays} choices={models} onChange={setModel} />
          <Gauge window={c.window} />
          <IconButton icon="gear" label="System prompt and parameters" onClick={() => setSettings(true)} />
        </div>
        <p id="mode-words" class={`mode-words ${c.private ? "private" : ""}`} data-testid="mode-words">
          <Icon name={c.private ? "lock" : "info"} size={15} />
          {modeWords(c)}
          {!c.kept && " It is not kept: when the router ends, it is gone."}
        </p>
      </header>
      <Messages conversation={c} say={say} />
      <div class="foot">
        <Connection state={link} closedBy={closedBy} onNow={() => line.current?.hurry()} />
        {link === "open" && closedBy === 1009 && (
          <p class="notice bad" role="alert">
            <Icon name="warn" />
            <span>Your message was too large for the router, so it was not taken. Attach less, or ask your administrator about chat.message_bytes.</span>
            <IconButton icon="close" label="Dismiss" onClick={() => setClosedBy(0)} />
          </p>
        )}
        {alone && (
          <p class="notice warn" role="status">
            <Icon name="warn" />
            <span>No model can be reached, so nothing can be answered yet. Why not is told on the operator's pages, and by llm-router doctor.</span>
          </p>
        )}
        {stays && isCloud(models.value, c.model) && (
          <p class="notice warn" role="status">
            <Icon name="home" />
            <span>The model that you chose is in the cloud, and this conversation stays on the premises. It needs another model.</span>
            <button type="button" onClick={() => setModel("auto")}>
              Choose automatically
            </button>
          </p>
        )}
        {refused && link === "open" && <ErrorBox error={new Error("That was not sent. Try again.")} />}
        {c.remarks.map((r) => (
          <p key={r.key} class={`notice ${r.kind === "error" ? "bad" : ""}`} role={r.kind === "error" ? "alert" : "status"}>
            <Icon name={r.kind === "error" ? "warn" : "info"} />
            <span>{r.text}</span>
            <IconButton icon="close" label="Dismiss" onClick={() => setC((old) => dismiss(old, r.key))} />
          </p>
        ))}
        <Composer messageBytes={props.me.message_bytes} running={busy} full={c.queued !== undefined} connected={link === "open"} draft={draft} focus={props.id} onSend={send} onStop={stop} />
      </div>
      <p class="hidden-text" role="status" aria-live="polite">
        {c.spoken}
      </p>
      {settings && (
        <Settings
          conversation={c}
          params={params}
          error={undefined}
          onClose={() => setSettings(false)}
          onSave={(system, next, tools) => {
            if (!say({ type: "set", system, params: next, tools })) return;
            setParams(next);
            setSettings(false);
          }}
        />
      )}
    </main>
  );
}

type Box<T> = { current: T };

function settleSaid(said: Box<{ ref: string; content: string } | undefined>, frame: Frame, giveBack: (content: string) => void): void {
  const one = said.current;
  if (one === undefined) return;
  if (frame.type === "message" && frame.ref === one.ref) said.current = undefined;
  // `connected` before our `message`: the connection broke in between. The history, if there is one, knows.
  else if (frame.type === "history") {
    said.current = undefined;
    if (!frame.messages.some((m) => m.role === "user" && m.content === one.content)) giveBack(one.content);
  } else if ((frame.type === "connected" && frame.history_count === 0) || (frame.type === "error" && frame.n === undefined) || (frame.type === "notice" && frame.code === "busy")) {
    said.current = undefined;
    giveBack(one.content);
  }
}

/** Escape stops the answer, unless it closes something first. */
function useEscape(on: boolean, run: () => void): void {
  useEffect(() => {
    if (!on) return undefined;
    const take = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented && document.querySelector("dialog[open]") === null) run();
    };
    addEventListener("keydown", take);
    return () => removeEventListener("keydown", take);
  }, [on, run]);
}

const CLOSED: Readonly<Record<number, string>> = {
  1001: "The router ended the connection: it restarts, or nothing was said for long.",
  1009: "The message was too large for the router.",
  1013: "The router has no room for this connection right now.",
};

function Connection({ state, closedBy, onNow }: { state: LinkState; closedBy: number; onNow: () => void }): JSX.Element | null {
  if (state === "waiting")
    return (
      <p class="notice warn" role="status">
        <Spinner label="Reconnecting" />
        <span>{CLOSED[closedBy] ?? "The connection is gone."} It is tried again by itself; an answer that runs goes on meanwhile.</span>
        <button type="button" onClick={onNow}>
          Try now
        </button>
      </p>
    );
  if (state === "forbidden") return <ErrorBox error={new Error("This conversation belongs to somebody else.")} />;
  if (state === "ended") return <ErrorBox error={new Error("The router ended this conversation's connection. Reload the page to open it again.")} />;
  return null;
}

function Messages({ conversation: c, say }: { conversation: Conversation; say: (frame: Said) => boolean }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const [away, setAway] = useState(false);
  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null && follow.current) element.scrollTop = element.scrollHeight;
  }, [c.path, c.approvals]);
  const toEnd = (): void => {
    follow.current = true;
    setAway(false);
    box.current?.scrollTo({ top: box.current.scrollHeight });
  };
  // An approval whose call is in no message that is here stands at the end.
  const calls = new Set(c.path.flatMap((m) => (m.tool_calls ?? []).map((t) => t.id)));
  const loose = c.approvals.filter((a) => !calls.has(a.call));
  return (
    <div class="messages-frame">
      <div
        ref={box}
        class="messages"
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Messages"
        onScroll={(event) => {
          const e = event.currentTarget;
          follow.current = e.scrollHeight - e.scrollTop - e.clientHeight < 60;
          setAway(!follow.current);
        }}
      >
        {!c.loaded && <Spinner label="Loading the conversation" />}
        {c.loaded && c.path.length === 0 && <Welcome />}
        {c.path.map((m) => (
          <Fragment key={m.n}>
            <MessageView message={m} approvals={c.approvals} queued={c.queued === m.n} busy={c.running !== undefined} say={say} />
            {c.summaries[m.n] !== undefined && (
              <p class="notice summary" role="note">
                <Icon name="info" />
                <span>{c.summaries[m.n]}</span>
              </p>
            )}
          </Fragment>
        ))}
        {loose.map((a) => (
          <ApprovalCard key={a.id} approval={a} say={say} />
        ))}
      </div>
      {away && (
        <button type="button" class="to-end" onClick={toEnd}>
          <Icon name="down" size={16} /> To the latest
        </button>
      )}
    </div>
  );
}

function Welcome(): JSX.Element {
  return (
    <div class="welcome">
      <h2>What can I help with?</h2>
      <p>
        Under each answer you see whether it was made here or in the cloud, and why. What is private stays on the premises. Escape stops an answer; Shift and Enter begin
        a new line.
      </p>
    </div>
  );
}
