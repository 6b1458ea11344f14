// SPDX-License-Identifier: Apache-2.0
// audit - what went where, record by record, and the check that nobody has touched it.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, post } from "../shared/api.ts";
import { plural } from "../shared/format.ts";
import { useLoad } from "../shared/hooks.ts";
import { ErrorBox, Icon, Spinner } from "../shared/ui.tsx";
import { recordSummary, time } from "./figures.ts";
import { Choice, Have, Json, PageHead, Section, Stats, Table } from "./parts.tsx";
import type { AuditCheck, AuditPage, AuditRecord } from "./types.ts";

const LIMIT = 100;
const TYPES = [
  ["", "all"],
  ["intent", "about to leave"],
  ["exchange", "exchanges"],
  ["tool-intent", "tools about to be called outside"],
  ["tool", "calls of tools"],
  ["change", "API keys made or revoked"],
  ["checkpoint", "checkpoints"],
] as const;
export interface Filter {
  type: string;
  text: string;
}

export function auditPath(filter: Filter, before: number | null): string {
  const query = new URLSearchParams({ limit: String(LIMIT) });
  if (before !== null) query.set("before", String(before));
  for (const [name, value] of Object.entries(filter) as [string, string][]) if (value.trim() !== "") query.set(name, value.trim());
  return `/router/audit?${query.toString()}`;
}

export function Verification({ check }: { check: AuditCheck }): JSX.Element {
  return (
    <>
      <div class={`notice ${check.ok ? "" : "bad"}`} role="status">
        <Icon name={check.ok ? "check" : "warn"} />
        <span>
          {check.ok
            ? `Nothing was changed: ${plural(check.records, "record")} in ${plural(check.files, "file")} fit together.`
            : `${plural(check.problems.length, "problem")} found. Keep a copy of the folder before anything else is done with it.`}
        </span>
      </div>
      <Stats
        label="What was checked"
        items={[
          ["Records", check.records.toLocaleString("en-US")],
          ["Checkpoints", check.checkpoints.toLocaleString("en-US")],
          ["Not yet signed", check.unsigned_records.toLocaleString("en-US")],
          ["Last record", check.last_seq.toLocaleString("en-US")],
          ["Written", time(check.last_time)],
        ]}
      />
      <p class="help">
        Keep this elsewhere, and a later check proves that the record is still there: <code class="long">{`${check.last_seq}:${check.last_hash}`}</code>
      </p>
      {check.problems.length + (check.remarks ?? []).length > 0 && (
        <Table
          caption="Problems, and what is worth knowing"
          rows={[...check.problems, ...(check.remarks ?? [])].map((problem, i) => ({ ...problem, key: String(i) }))}
          keyOf={(problem) => problem.key}
          empty="None is told."
          columns={[
            { head: "Where", cell: (problem) => (problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file) },
            { head: "Record", number: true, cell: (problem) => (problem.seq > 0 ? problem.seq : "-") },
            { head: "What", cell: (problem) => problem.what },
          ]}
        />
      )}
    </>
  );
}

function Verify(): JSX.Element {
  const [check, setCheck] = useState<AuditCheck>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const start = (): void => {
    setBusy(true);
    setError(undefined);
    post<AuditCheck>("/router/audit/verify", {})
      .then(setCheck, setError)
      .finally(() => setBusy(false));
  };
  return (
    <Section
      title="Verification"
      actions={
        <button type="button" class="primary" onClick={start} disabled={busy}>
          {busy ? "Reading everything" : "Verify now"}
        </button>
      }
    >
      <p class="help">Reads every record, computes its digest anew and checks the signatures, as llm-router audit verify does.</p>
      {busy && <Spinner label="Verifying" />}
      {error !== undefined && <ErrorBox error={error} onRetry={start} />}
      {check !== undefined && <Verification check={check} />}
    </Section>
  );
}

function Records({ records }: { records: readonly AuditRecord[] }): JSX.Element {
  return (
    <Table
      caption="Records, the newest first"
      quietCaption
      rows={records}
      keyOf={(record) => String(record.seq)}
      empty="No record fits."
      columns={[
        { head: "Record", number: true, cell: (record) => record.seq },
        { head: "Time", whole: true, cell: (record) => time(record.time) },
        { head: "Type", cell: (record) => record.type },
        { head: "What", cell: (record) => recordSummary(record) },
        {
          head: "Whole",
          cell: (record) => (
            <details class="record">
              <summary>
                Show<span class="hidden-text"> record {record.seq}</span>
              </summary>
              <Json value={record} label={`Record ${record.seq}`} />
            </details>
          ),
        },
      ]}
    />
  );
}

export function Audit(): JSX.Element {
  const [filter, setFilter] = useState<Filter>({ type: "", text: "" });
  const [typed, setTyped] = useState("");
  const [before, setBefore] = useState<number | null>(null);
  const [kept, setKept] = useState<AuditRecord[]>([]);
  const path = auditPath(filter, before);
  const page = useLoad((signal) => get<AuditPage>(path, signal), [path]);
  const set = (change: Partial<Filter>): void => {
    setFilter((old) => ({ ...old, ...change }));
    setBefore(null);
    setKept([]);
  };
  return (
    <>
      <PageHead title="Audit" intro="What went where, in a chain of records that shows when somebody has touched it. No record holds text of a request or an answer." />
      <Verify />
      <Section
        title="Records"
        actions={
          <button type="button" onClick={() => (before === null ? page.reload() : set({}))}>
            The newest
          </button>
        }
      >
        <form
          class="row"
          aria-label="Which records"
          onSubmit={(event) => {
            event.preventDefault();
            set({ text: typed });
          }}
        >
          <Choice id="audit-type" label="Type" value={filter.type} options={TYPES} onChange={(type) => set({ type })} />
          <span class="choice">
            <label for="audit-text">With</label>
            <input id="audit-text" type="search" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} placeholder="a key's id, a model" spellcheck={false} autocomplete="off" />
          </span>
          <button type="submit">Filter</button>
        </form>
        <Have of={page} absent="This router does not tell its audit over HTTP. On its machine, llm-router audit show does.">
          {(value) => (
            <>
              <Records records={before === null ? value.records : [...kept, ...value.records.filter((record) => !kept.some((old) => old.seq === record.seq))]} />
              {value.more && (
                <button
                  type="button"
                  disabled={page.loading}
                  onClick={() => {
                    setKept((old) => [...old, ...value.records.filter((record) => !old.some((one) => one.seq === record.seq))]);
                    setBefore(value.records.at(-1)?.seq ?? null);
                  }}
                >
                  Older records
                </button>
              )}
            </>
          )}
        </Have>
      </Section>
    </>
  );
}
