// SPDX-License-Identifier: Apache-2.0
// controls - what holds for the conversation: how far it may go, which model, its system prompt and parameters.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { count } from "../shared/format.ts";
import type { Loaded } from "../shared/hooks.ts";
import { Dialog, ErrorBox } from "../shared/ui.tsx";
import type { Conversation } from "./conversation.ts";
import type { Choices } from "./models.ts";
import type { Mode, Params } from "./protocol.ts";

export const MODES: readonly { mode: Mode; name: string; words: string }[] = [
  { mode: "local", name: "Local", words: "Only models on the premises answer. Nothing leaves." },
  { mode: "hybrid", name: "Hybrid", words: "Local models answer what they can do well, the cloud helps with the rest. What is private stays on the premises." },
  { mode: "cloud", name: "Cloud", words: "The cloud is asked first, where it is allowed. What is private still stays on the premises." },
];

interface ModeSwitchProps {
  mode: Mode;
  allowed: readonly string[];
  isPrivate: boolean;
  onChange: (mode: Mode) => void;
}

export function ModeSwitch({ mode, allowed, isPrivate, onChange }: ModeSwitchProps): JSX.Element {
  return (
    <fieldset class="modes" aria-describedby="mode-words">
      <legend class="hidden-text">How far may this conversation go?</legend>
      {MODES.map((m) => {
        const off = (isPrivate && m.mode !== "local") || !allowed.includes(m.mode);
        const why = isPrivate ? "The conversation is private: it stays local." : "Not allowed by the configuration or your key.";
        return (
          <label key={m.mode} class={m.mode === mode ? "on" : ""} title={off ? why : m.words}>
            <input type="radio" name="mode" value={m.mode} checked={m.mode === mode} disabled={off} onChange={() => onChange(m.mode)} />
            {m.name}
          </label>
        );
      })}
    </fieldset>
  );
}

export function modeWords(c: Conversation): string {
  if (c.private) return "This conversation is private: it stays on the premises, whatever the mode says.";
  return MODES.find((m) => m.mode === c.mode)?.words ?? "";
}

interface ModelPickerProps {
  model: string;
  stays: boolean; // the conversation stays on the premises
  choices: Loaded<Choices>;
  onChange: (model: string) => void;
}

export function ModelPicker({ model, stays, choices, onChange }: ModelPickerProps): JSX.Element {
  const c = choices.value;
  const known = ["", "auto", ...(c === undefined ? [] : [...c.roles, ...c.local, ...c.cloud].map((one) => one.name))];
  const group = (label: string, list: Choices["local"], off = false): JSX.Element | null =>
    list.length === 0 ? null : (
      <optgroup label={label}>
        {list.map((one) => (
          <option key={one.name} value={one.name} disabled={off}>
            {one.words}
          </option>
        ))}
      </optgroup>
    );
  return (
    <select class="model" aria-label="Model" title="Automatic chooses the model that fits the question" value={model === "" ? "auto" : model} onFocus={choices.reload} onChange={(event) => onChange(event.currentTarget.value)}>
      <option value="auto">Automatic</option>
      {!known.includes(model) && <option value={model}>{model}</option>}
      {c !== undefined && group("By what it is good at", c.roles)}
      {c !== undefined && group("Local: on the premises", c.local)}
      {c !== undefined && group(stays ? "Cloud: not in this conversation" : "Cloud", c.cloud, stays)}
      {c !== undefined && group("Missing: configured, not there", c.missing, true)}
    </select>
  );
}

/** How full the model's window is: a picture, and words. */
export function Gauge({ window: w }: { window: Conversation["window"] }): JSX.Element | null {
  if (w?.used === undefined || w.size === undefined || w.size <= 0) return null;
  const share = Math.min(1, w.used / w.size);
  const words = `${count(w.used)} of ${count(w.size)} tokens of the model's window are used`;
  return (
    <span class={`gauge ${share > 0.85 ? "full" : ""}`} title={`${words}. When it is full, the oldest messages are summed up.`}>
      <meter min={0} max={1} value={share} aria-label={words} />
      <span>{Math.round(share * 100)} %</span>
    </span>
  );
}

interface SettingsProps {
  conversation: Conversation;
  params: Params;
  error: unknown;
  onClose: () => void;
  onSave: (system: string, params: Params, tools: boolean) => void;
}

export function Settings({ conversation: c, params, error, onClose, onSave }: SettingsProps): JSX.Element {
  const [system, setSystem] = useState(c.system);
  const [tools, setTools] = useState(c.tools);
  const [values, setValues] = useState<Readonly<Record<string, string>>>(() => Object.fromEntries(Object.entries(params).map(([key, value]) => [key, String(value)])));
  const set = (key: string) => (event: { currentTarget: { value: string } }): void => setValues({ ...values, [key]: event.currentTarget.value });
  return (
    <Dialog title="Settings of this conversation" onClose={onClose}>
      {error !== undefined && <ErrorBox error={error} />}
      <form
        class="settings"
        onSubmit={(event) => {
          event.preventDefault();
          onSave(system, readParams(values), tools);
        }}
      >
        <div class="field wide">
          <label for="set-system">System prompt</label>
          <textarea id="set-system" data-first rows={4} value={system} aria-describedby="help-system" onInput={(event) => setSystem(event.currentTarget.value)} />
          <p class="help" id="help-system">
            What the model is told before everything else: who it is, for whom it writes, in which form.
          </p>
        </div>
        <div class="field">
          <label for="set-temperature">Temperature</label>
          <input id="set-temperature" type="number" min="0" max="2" step="any" placeholder="the model's own" value={values["temperature"] ?? ""} onInput={set("temperature")} />
          <p class="help">0 sticks to the likeliest words, 2 is adventurous.</p>
        </div>
        <div class="field">
          <label for="set-top-p">Top p</label>
          <input id="set-top-p" type="number" min="0" max="1" step="any" placeholder="the model's own" value={values["top_p"] ?? ""} onInput={set("top_p")} />
          <p class="help">Share of the likeliest words it chooses from.</p>
        </div>
        <div class="field">
          <label for="set-max">Longest answer, in tokens</label>
          <input id="set-max" type="number" min="1" max="1000000" step="1" placeholder="the model's own" value={values["max_tokens"] ?? ""} onInput={set("max_tokens")} />
        </div>
        <div class="field">
          <label for="set-effort">Reasoning</label>
          <select id="set-effort" value={values["effort"] ?? ""} onChange={set("effort")}>
            <option value="">the model's own</option>
            <option value="low">little</option>
            <option value="medium">some</option>
            <option value="high">much</option>
          </select>
        </div>
        <label class="check wide">
          <input type="checkbox" checked={tools} onChange={(event) => setTools(event.currentTarget.checked)} /> Offer tools to the model, where there are any
        </label>
        <div class="actions wide">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Use from now on
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What was left empty is the model's own. */
export function readParams(values: Readonly<Record<string, string>>): Params {
  const out: Params = {};
  for (const key of ["temperature", "top_p", "max_tokens"] as const) {
    const text = (values[key] ?? "").trim();
    const value = Number(text);
    if (text !== "" && Number.isFinite(value)) out[key] = value;
  }
  const effort = values["effort"] ?? "";
  if (effort !== "") out.effort = effort;
  return out;
}
