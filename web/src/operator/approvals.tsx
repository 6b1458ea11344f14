// SPDX-License-Identifier: Apache-2.0
// approvals - calls of tools that wait for a person, with all they would be called with; and what was decided lately.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, post } from "../shared/api.ts";
import { useLoad } from "../shared/hooks.ts";
import { ErrorBox, Icon } from "../shared/ui.tsx";
import { time } from "./figures.ts";
import { Chip, Have, Json, PageHead, Section, Table } from "./parts.tsx";
import { useWatched } from "./state.ts";
import type { Approval } from "./types.ts";

export function Card({ approval, onDecided }: { approval: Approval; onDecided: () => void }): JSX.Element {
  const [remember, setRemember] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const name = `${approval.server}/${approval.tool}`;
  const decide = (decision: "approve" | "deny"): void => {
    setBusy(true);
    setError(undefined);
    post(`/router/approvals/${encodeURIComponent(approval.id)}`, { decision, ...(decision === "approve" && remember ? { remember: "session" } : {}) }).then(
      onDecided,
      (e: unknown) => {
        setBusy(false);
        setError(e);
      },
    );
  };
  return (
    <article class="panel" aria-label={`Call of ${name}`}>
      <div class="section-head">
        <h2>
          <Icon name="tool" /> {name}
        </h2>
        <Chip tone={approval.effect === "read" ? "" : "warn"}>{approval.effect}</Chip>
      </div>
      <p class="help">
        Asked {time(approval.asked)}
        {approval.key !== null && approval.key !== "" && ` with the key ${approval.key}`}; refused by itself {time(approval.until)}.
      </p>
      <Json value={approval.arguments} label={`Arguments of ${name}`} />
      {approval.rememberable && (
        <label class="check">
          <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} /> Approve this tool for the rest of the conversation
        </label>
      )}
      {error !== undefined && <ErrorBox error={error} />}
      <div class="actions">
        <button type="button" class="danger" disabled={busy} onClick={() => decide("deny")} aria-label={`Deny ${name}`}>
          Deny
        </button>
        <button type="button" class="primary" disabled={busy} onClick={() => decide("approve")} aria-label={`Approve ${name}`}>
          Approve
        </button>
      </div>
    </article>
  );
}

function Decided({ rows }: { rows: readonly Approval[] }): JSX.Element {
  return (
    <Table
      caption="Decided lately"
      quietCaption
      rows={rows}
      keyOf={(row) => row.id}
      empty="Nothing was decided lately."
      columns={[
        { head: "Tool", cell: (row) => `${row.server}/${row.tool}` },
        { head: "Decision", cell: (row) => <Chip tone={row.decision === "approved" ? "good" : row.decision === "denied" ? "bad" : ""}>{row.decision}</Chip> },
        { head: "By", cell: (row) => row.decided_by ?? "-" },
        { head: "When", whole: true, cell: (row) => time(row.decided) },
        { head: "Key", cell: (row) => row.key ?? "-" },
        { head: "Remembered", cell: (row) => (row.remembered ? "yes" : "no") },
      ]}
    />
  );
}

export function Approvals(): JSX.Element {
  const { state } = useWatched();
  const waiting = state?.approvals;
  const list = useLoad((signal) => get<{ approvals: Approval[] }>("/router/approvals", signal), []);
  useEffect(() => {
    if (waiting !== undefined) list.reload(); // another call waits, or somebody else has decided
  }, [waiting]);
  return (
    <>
      <PageHead title="Approvals" intro="Models may not change anything by themselves where the configuration says so: a person looks at the call first. An approval is for exactly these arguments." />
      <Have of={list} absent="No tool servers are configured, so nothing can wait for approval.">
        {(value) => {
          const pending = value.approvals.filter((one) => one.decision === "pending");
          return (
            <>
              <div aria-live="polite" class="stacked">
                {pending.length === 0 ? <p class="empty">Nothing waits.</p> : pending.map((one) => <Card approval={one} onDecided={list.reload} key={one.id} />)}
              </div>
              <Section title="Decided lately">
                <Decided rows={value.approvals.filter((one) => one.decision !== "pending")} />
              </Section>
            </>
          );
        }}
      </Have>
    </>
  );
}
