// SPDX-License-Identifier: Apache-2.0
// costs - what was spent and saved, by day, class, model, key or provider; and the budgets.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get } from "../shared/api.ts";
import { count, dollars } from "../shared/format.ts";
import { useLoad } from "../shared/hooks.ts";
import { Show } from "../shared/ui.tsx";
import { micro } from "./figures.ts";
import { Chip, Choice, PageHead, Section, Stats, Table } from "./parts.tsx";
import type { Budget, Usage, UsageRow } from "./types.ts";

const BY = [
  ["day", "day"],
  ["class", "class"],
  ["model", "model"],
  ["key", "key"],
  ["provider", "provider"],
] as const;
const SINCE = [
  ["1d", "today"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
  ["365d", "a year"],
] as const;

const money = (usd: number | null): string => (usd === null ? "-" : dollars(micro(usd)));
const LEVELS = { ok: "good", warning: "warn", critical: "warn", exhausted: "bad" } as const;

export function Budgets({ budgets }: { budgets: Readonly<Record<string, Budget>> }): JSX.Element {
  return (
    <Table
      caption="Budgets for cloud models"
      quietCaption
      rows={Object.entries(budgets)}
      keyOf={([scope]) => scope}
      empty="No budget is told of."
      columns={[
        { head: "Period (UTC)", cell: ([scope]) => scope },
        { head: "Spent", number: true, cell: ([, budget]) => money(budget.spent_usd) },
        { head: "Limit", number: true, cell: ([, budget]) => (budget.limit_usd === null ? "none" : money(budget.limit_usd)) },
        {
          head: "Used",
          cell: ([scope, budget]) =>
            budget.limit_usd === null ? "-" : <meter min={0} max={1} value={Math.min(1, budget.spent_usd / budget.limit_usd)} aria-label={`Budget of the ${scope}: share that is used`} />,
        },
        { head: "Level", cell: ([, budget]) => (budget.limit_usd === null ? "-" : <Chip tone={LEVELS[budget.level]}>{budget.level}</Chip>) },
      ]}
    />
  );
}

function nameOf(row: UsageRow, by: string): string {
  const name = row[by];
  return name === null || name === undefined || name === "" ? "none" : String(name);
}

function Report({ usage }: { usage: Usage }): JSX.Element {
  const { total } = usage;
  return (
    <>
      <Stats
        label="All together"
        items={[
          ["Requests", count(total.requests)],
          ["Cost", money(total.cost_usd)],
          ["Saved", money(total.saved_usd)],
          ["Saved by answering locally", money(total.saved_by_local_usd)],
        ]}
      />
      {usage.budget !== undefined && (
        <Section title="Budgets">
          <Budgets budgets={usage.budget} />
        </Section>
      )}
      <Section title={`By ${usage.by}`}>
        <Table
          caption={`Usage by ${usage.by}, ${usage.since} to ${usage.until}`}
          rows={usage.rows}
          keyOf={(row) => nameOf(row, usage.by)}
          foot={{ ...total, [usage.by]: "all" }}
          empty="Nothing was asked in this time."
          columns={[
            { head: usage.by, cell: (row) => nameOf(row, usage.by) },
            { head: "Requests", number: true, cell: (row) => count(row.requests) },
            { head: "Answered", number: true, cell: (row) => count(row.answered) },
            { head: "Local", number: true, cell: (row) => count(row.local) },
            { head: "Private", number: true, cell: (row) => count(row.private) },
            { head: "Tokens in", number: true, cell: (row) => count(row.input_tokens) },
            { head: "Tokens out", number: true, cell: (row) => count(row.output_tokens) },
            { head: "Cost", number: true, cell: (row) => money(row.cost_usd) },
            { head: "Saved", number: true, cell: (row) => money(row.saved_usd) },
          ]}
        />
        {usage.truncated && <p class="notice warn">There are more rows than are shown; the sum is of all.</p>}
        <p class="help">
          {usage.reference_model !== null && `Compared with ${usage.reference_model}. `}
          {usage.note}.
        </p>
      </Section>
    </>
  );
}

export function Costs(): JSX.Element {
  const [by, setBy] = useState("day");
  const [since, setSince] = useState("30d");
  const query = `by=${by}&since=${since}`;
  const usage = useLoad((signal) => get<Usage>(`/router/usage?${query}`, signal), [query]);
  return (
    <>
      <PageHead title="Cost and savings" intro="From the ledger, up to this moment. Days are those of UTC.">
        <Choice id="by" label="By" value={by} options={BY} onChange={setBy} />
        <Choice id="since" label="Over" value={since} options={SINCE} onChange={setSince} />
        <button type="button" onClick={usage.reload}>
          Load again
        </button>
        <a class="button" href={`/router/usage?${query}&format=csv`} download={`usage-by-${by}.csv`}>
          CSV
        </a>
      </PageHead>
      <Show of={usage}>{(value) => <Report usage={value} />}</Show>
    </>
  );
}
