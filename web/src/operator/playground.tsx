// SPDX-License-Identifier: Apache-2.0
// playground - the route that a text would take: verdict, class, rules, each candidate with why or why not. It is not sent
// to a model, and the router keeps nothing of it.
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { errorOf, get } from "../shared/api.ts";
import { plural } from "../shared/format.ts";
import { useLoad } from "../shared/hooks.ts";
import { ErrorBox, Icon, Zone } from "../shared/ui.tsx";
import type { Tone } from "./figures.ts";
import { Chip, PageHead, Section, Shares, Stats, Table } from "./parts.tsx";
import type { Models, Outlook } from "./types.ts";

export interface Question {
  prompt: string;
  model: string;
  mode: string; // "" = as the configuration says
  isPrivate: boolean;
}

export async function explain(question: Question, signal?: AbortSignal): Promise<Outlook> {
  const headers: Record<string, string> = { "Content-Type": "application/json", Accept: "application/json" };
  if (question.mode !== "") headers["X-LLM-Mode"] = question.mode;
  if (question.isPrivate) headers["X-LLM-Sensitivity"] = "private";
  const body = JSON.stringify({ prompt: question.prompt, ...(question.model.trim() === "" ? {} : { model: question.model.trim() }) });
  const response = await fetch("/router/explain", { method: "POST", credentials: "same-origin", headers, body, ...(signal === undefined ? {} : { signal }) }).catch((e: unknown) => {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw errorOf(0, null);
  });
  if (!response.ok) throw errorOf(response.status, await response.json().catch(() => null), Number(response.headers.get("Retry-After") ?? "0") || 0);
  return (await response.json()) as Outlook;
}

const STATES: Readonly<Record<string, Tone>> = { ready: "good", busy: "warn", unreachable: "bad", open: "bad" };
const STATE_WORDS: Readonly<Record<string, string>> = { open: "breaker open" };

function Plan({ outlook }: { outlook: Outlook }): JSX.Element {
  return (
    <>
      <Table
        caption="Who would be asked, in this order"
        rows={outlook.plan.map((target, i) => ({ ...target, at: i + 1 }))}
        keyOf={(target) => `${target.provider}/${target.model}`}
        empty="Nobody would be asked."
        columns={[
          { head: "No.", cell: (target) => target.at },
          { head: "Model", cell: (target) => `${target.provider}/${target.model}` },
          { head: "Zone", cell: (target) => <Zone zone={target.zone} /> },
          { head: "Why", cell: (target) => target.why },
          { head: "Now", cell: (target) => <Chip tone={STATES[target.state] ?? ""}>{STATE_WORDS[target.state] ?? target.state}</Chip> },
        ]}
      />
      <Table
        caption="Who would not, and why"
        rows={outlook.skipped.map((one, i) => ({ ...one, key: `${i} ${one.candidate}` }))}
        keyOf={(one) => one.key}
        empty="No candidate was left out."
        columns={[
          { head: "Candidate", cell: (one) => one.candidate },
          { head: "Why not", cell: (one) => one.why },
        ]}
      />
    </>
  );
}

function Verdict({ outlook }: { outlook: Outlook }): JSX.Element {
  const findings = Object.entries(outlook.findings);
  return (
    <>
      <p class={`notice ${outlook.is_private ? "" : "warn"}`}>
        <Icon name={outlook.is_private ? "lock" : "info"} />
        <span>
          {outlook.is_private
            ? outlook.pseudonyms
              ? "Private: only local models see it as it is. A cloud model would see pseudonyms in place of what was found."
              : "Private: it stays on the premises, whatever else is asked for."
            : "Not private: it may leave the premises where mode and route let it."}
        </span>
      </p>
      <Table
        caption="What was found in it"
        rows={findings}
        keyOf={([kind]) => kind}
        empty="The detector found nothing about a person in it."
        columns={[
          { head: "Kind", cell: ([kind]) => kind.replaceAll("_", " ") },
          { head: "Number", number: true, cell: ([, number]) => number },
        ]}
      />
    </>
  );
}

function Kind({ outlook }: { outlook: Outlook }): JSX.Element {
  const found = outlook.class;
  if (found === null) return <p class="empty">No class was looked for: {outlook.task ?? "none"}.</p>;
  return (
    <>
      <Stats
        label="Class"
        items={[
          ["Class", (outlook.task ?? found.name).replaceAll("_", " ")],
          ["Sure", found.sure ? "yes" : "no"],
          ["Complexity", found.complexity.toFixed(2)],
          ["Would gain from the cloud", found.needs_cloud.toFixed(2)],
        ]}
      />
      {found.why !== null && <p class="help">Found by: {found.why}</p>}
      <Shares caption="How near each class is" parts={Object.entries(found.scores).map(([name, value]) => ({ name: name.replaceAll("_", " "), value }))} />
    </>
  );
}

export function Answer({ outlook }: { outlook: Outlook }): JSX.Element {
  return (
    <>
      {outlook.error !== undefined && (
        <div class="notice bad">
          <Icon name="warn" />
          <span>
            It would be refused: {outlook.error.message} ({outlook.error.code}){outlook.retry_after !== undefined && `, for ${plural(outlook.retry_after, "second")}`}
          </span>
        </div>
      )}
      <Section title="Route">
        {outlook.reason !== null && <p class="help">{outlook.reason}</p>}
        <Plan outlook={outlook} />
      </Section>
      <div class="charts">
        <Section title="Verdict">
          <Verdict outlook={outlook} />
        </Section>
        <Section title="Class">
          <Kind outlook={outlook} />
        </Section>
      </div>
      <Section title="Rules">
        <Table
          caption="Rules that had a say, the strongest first"
          rows={outlook.rules.map((rule, i) => ({ ...rule, key: `${i} ${rule.rule}` }))}
          keyOf={(rule) => rule.key}
          empty="No rule had a say."
          columns={[
            { head: "Rule", cell: (rule) => rule.rule },
            { head: "Looks at", cell: (rule) => rule.looks_at },
            { head: "Does", cell: (rule) => rule.does },
          ]}
        />
      </Section>
    </>
  );
}

const MODES = [
  ["", "as the configuration says"],
  ["local", "local"],
  ["hybrid", "hybrid"],
  ["cloud", "cloud"],
] as const;

export function Playground(): JSX.Element {
  const [question, setQuestion] = useState<Question>({ prompt: "", model: "", mode: "", isPrivate: false });
  const [outlook, setOutlook] = useState<Outlook>();
  const [error, setError] = useState<unknown>();
  const running = useRef<AbortController | undefined>(undefined);
  const models = useLoad((signal) => get<Models>("/router/models", signal), []);
  const set = (change: Partial<Question>): void => setQuestion((old) => ({ ...old, ...change }));
  const ask = (event: Event): void => {
    event.preventDefault();
    if (question.prompt.trim() === "") return;
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    setError(undefined);
    explain(question, abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setOutlook(value);
      },
      (e: unknown) => {
        if (!abort.signal.aborted) setError(e);
      },
    );
  };
  const names = models.value === undefined ? [] : ["auto", ...Object.keys(models.value.roles), ...models.value.models.map((model) => `${model.provider}/${model.name}`)];
  return (
    <>
      <PageHead title="Try a route" intro="Which way would this text go? No model is asked and nothing is kept; it counts as one request of yours." />
      <form class="panel stacked" onSubmit={ask} aria-label="The request">
        <div class="field">
          <label for="try-text">Text</label>
          <textarea
            id="try-text"
            rows={6}
            value={question.prompt}
            required
            onInput={(event) => set({ prompt: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(event);
            }}
            aria-describedby="try-help"
          />
          <p class="help" id="try-help">
            Ctrl+Enter shows the route.
          </p>
        </div>
        <div class="row">
          <div class="field">
            <label for="try-model">Model or role</label>
            <input id="try-model" list="try-models" value={question.model} placeholder="auto" onInput={(event) => set({ model: event.currentTarget.value })} spellcheck={false} autocomplete="off" />
            <datalist id="try-models">
              {names.map((name) => (
                <option value={name} key={name} />
              ))}
            </datalist>
          </div>
          <div class="field">
            <label for="try-mode">Mode</label>
            <select id="try-mode" value={question.mode} onChange={(event) => set({ mode: event.currentTarget.value })}>
              {MODES.map(([value, text]) => (
                <option value={value} key={value}>
                  {text}
                </option>
              ))}
            </select>
          </div>
          <label class="check">
            <input type="checkbox" checked={question.isPrivate} onChange={(event) => set({ isPrivate: event.currentTarget.checked })} /> Marked private
          </label>
        </div>
        <div class="actions">
          <button type="submit" class="primary" disabled={question.prompt.trim() === ""}>
            Show the route
          </button>
        </div>
      </form>
      {error !== undefined && <ErrorBox error={error} />}
      <div aria-live="polite">{outlook !== undefined && <p class="hidden-text">{`The route: ${outlook.plan.length === 0 ? "nobody would be asked" : `first ${outlook.plan[0]?.provider ?? ""}/${outlook.plan[0]?.model ?? ""}`}.`}</p>}</div>
      {outlook !== undefined && <Answer outlook={outlook} />}
    </>
  );
}
