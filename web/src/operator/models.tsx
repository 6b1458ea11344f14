// SPDX-License-Identifier: Apache-2.0
// models - which there are, where each runs and whether it is in memory, which are missing; and having one downloaded.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { errorOf, get } from "../shared/api.ts";
import { bytes, count, percent } from "../shared/format.ts";
import { useLoad } from "../shared/hooks.ts";
import { ErrorBox, Icon, Show, Zone } from "../shared/ui.tsx";
import { useConfig } from "./config.tsx";
import { linesOf, optionOn, pullStep } from "./figures.ts";
import type { PullStep } from "./figures.ts";
import { Chip, PageHead, Section, Table } from "./parts.tsx";
import { useWatched } from "./state.ts";
import type { Models, Provider } from "./types.ts";

interface Row {
  name: string;
  provider: string;
  local: boolean;
  context: number | null;
  state: "loaded" | "ready" | "missing" | "unreachable";
}

/** Models that are listed, and those that roles name and nobody has. */
export function rowsOf(models: Models, providers: readonly Provider[]): Row[] {
  const reached = (name: string): boolean => providers.find((p) => p.provider === name)?.is_available ?? true;
  return [
    ...models.models.map((model) => ({
      name: model.name,
      provider: model.provider,
      local: model.is_local,
      context: model.context,
      state: model.loaded ? ("loaded" as const) : reached(model.provider) ? ("ready" as const) : ("unreachable" as const),
    })),
    ...providers.flatMap((p) => p.missing_models.map((name) => ({ name, provider: p.provider, local: p.is_local, context: null, state: "missing" as const }))),
  ];
}

const TONES = { loaded: "good", ready: "", missing: "bad", unreachable: "warn" } as const;
const WORDS = { loaded: "in memory", ready: "ready", missing: "missing", unreachable: "not reached" } as const;

function List({ models }: { models: Models }): JSX.Element {
  const { state } = useWatched();
  const [wanted, setWanted] = useState("");
  const lower = wanted.trim().toLowerCase();
  const rows = rowsOf(models, state?.providers ?? []).filter((row) => `${row.provider}/${row.name}`.toLowerCase().includes(lower));
  return (
    <>
      <div class="field">
        <label for="model-search">Only names with</label>
        <input id="model-search" type="search" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
      </div>
      <Table
        caption="Models"
        quietCaption
        rows={rows}
        keyOf={(row) => `${row.provider}/${row.name}`}
        empty={lower === "" ? "No provider has told of a model yet." : "No model has this in its name."}
        columns={[
          { head: "Model", cell: (row) => row.name },
          { head: "Provider", cell: (row) => row.provider },
          { head: "Zone", cell: (row) => <Zone zone={row.local ? "local" : "cloud"} /> },
          { head: "State", cell: (row) => <Chip tone={TONES[row.state]}>{WORDS[row.state]}</Chip> },
          { head: "Window", number: true, cell: (row) => (row.context === null ? "-" : `${count(row.context)} tokens`) },
        ]}
      />
    </>
  );
}

function Roles({ roles }: { roles: Models["roles"] }): JSX.Element {
  return (
    <Table
      caption="Roles"
      quietCaption
      rows={Object.entries(roles)}
      keyOf={([role]) => role}
      empty="No roles are configured: every request goes to what its class or name finds."
      columns={[
        { head: "Role", cell: ([role]) => role },
        { head: "Models, in order", cell: ([, names]) => names.join(", ") },
      ]}
    />
  );
}

/** The answer is a line of JSON for each step; a failure may be the last of them. */
export async function pull(model: string, onStep: (step: PullStep) => void, signal: AbortSignal): Promise<void> {
  const response = await fetch("/api/pull", {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model }),
    signal,
  }).catch((e: unknown) => {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw errorOf(0, null);
  });
  if (!response.ok || response.body === null) throw errorOf(response.status, await response.json().catch(() => null));
  let last: PullStep | undefined;
  for await (const line of linesOf(response.body)) {
    const step = pullStep(line);
    if (step === undefined) continue;
    if (step.error !== undefined) throw new Error(step.error);
    last = step;
    onStep(step);
  }
  if (last?.status !== "success") throw new Error("The download broke off before its end. Begin it again: what has come is kept.");
}

function Progress({ model, step }: { model: string; step: PullStep }): JSX.Element {
  const { total, completed } = step;
  return (
    <div class="field">
      <progress aria-label={`Download of ${model}`} {...(total === undefined ? {} : { max: total, value: completed ?? 0 })} />
      <p class="help">
        {step.status}
        {total !== undefined && ` - ${bytes(completed ?? 0)} of ${bytes(total)} (${percent(completed ?? 0, total)})`}
      </p>
    </div>
  );
}

function Pull({ onDone }: { onDone: () => void }): JSX.Element {
  const [model, setModel] = useState("");
  const [step, setStep] = useState<PullStep>();
  const [error, setError] = useState<unknown>();
  const [done, setDone] = useState("");
  const running = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => running.current?.abort(), []);
  const start = (event: Event): void => {
    event.preventDefault();
    const name = model.trim();
    if (name === "" || running.current !== undefined) return;
    const abort = new AbortController();
    running.current = abort;
    setError(undefined);
    setDone("");
    setStep({ status: "asking", total: undefined, completed: undefined, error: undefined });
    pull(name, setStep, abort.signal)
      .then(
        () => {
          setDone(`${name} is there.`);
          onDone();
        },
        (e: unknown) => (abort.signal.aborted ? setDone("Stopped. What has come is kept for the next time.") : setError(e)),
      )
      .finally(() => {
        running.current = undefined;
        setStep(undefined);
      });
  };
  return (
    <form onSubmit={start} class="stacked">
      <div class="field">
        <label for="pull-name">Model</label>
        <input
          id="pull-name"
          value={model}
          onInput={(event) => setModel(event.currentTarget.value)}
          placeholder="llama3.2, or provider/model"
          spellcheck={false}
          autocomplete="off"
          required
          disabled={step !== undefined}
        />
      </div>
      {step !== undefined && <Progress model={model} step={step} />}
      {error !== undefined && <ErrorBox error={error} />}
      <p role="status" class="help">
        {done}
      </p>
      <div class="actions">
        {step !== undefined && (
          <button type="button" onClick={() => running.current?.abort()}>
            Stop
          </button>
        )}
        <button type="submit" class="primary" disabled={step !== undefined}>
          <Icon name="download" /> Download
        </button>
      </div>
    </form>
  );
}

function PullSection({ onDone }: { onDone: () => void }): JSX.Element {
  const config = useConfig();
  return (
    <Section title="Download a model">
      <Show of={config}>
        {(text) =>
          optionOn(text, "airgap") === true ? (
            <p class="help">The router is in airgap: nothing is downloaded. Bring the model's file to its server by hand.</p>
          ) : optionOn(text, "allow_pull") === true ? (
            <Pull onDone={onDone} />
          ) : (
            <p class="help">
              Not allowed. With <code>allow_pull: true</code> in the configuration an Ollama can be asked from here to download a model; it then opens a connection to the
              registry. On the router's machine <code>llm-router pull MODEL</code> does the same.
            </p>
          )
        }
      </Show>
    </Section>
  );
}

export function ModelsPage(): JSX.Element {
  const models = useLoad((signal) => get<Models>("/router/models", signal), []);
  return (
    <>
      <PageHead title="Models" intro="What the providers list, and what the configuration names and nobody has.">
        <button type="button" onClick={models.reload}>
          Load again
        </button>
      </PageHead>
      <Show of={models}>
        {(value) => (
          <>
            <Section title="Models">
              <List models={value} />
            </Section>
            <Section title="Roles">
              <Roles roles={value.roles} />
            </Section>
          </>
        )}
      </Show>
      <PullSection onDone={models.reload} />
    </>
  );
}
