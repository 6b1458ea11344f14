// SPDX-License-Identifier: Apache-2.0
// overview - can it serve, what is it doing, how is each provider: live.
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { get } from "../shared/api.ts";
import { Chart } from "../shared/chart.tsx";
import { count, dollars, milliseconds, percent, second } from "../shared/format.ts";
import { Icon, Show, Spinner, Zone } from "../shared/ui.tsx";
import { standing, time, timesOf } from "./figures.ts";
import { Chip, Have, PageHead, Section, Stats, Table } from "./parts.tsx";
import { useMinutes, useTraffic, useWatched } from "./state.ts";
import type { AuditPage, AuditRecord, Health, Provider, RouterState, Traffic } from "./types.ts";

function Banners({ state }: { state: RouterState }): JSX.Element {
  const notes: { tone: string; text: JSX.Element }[] = [];
  if (!state.ready) notes.push({ tone: "bad", text: <span>No request can be served now: {state.reason ?? "unknown"}.</span> });
  if (!state.audit_ready) notes.push({ tone: "bad", text: <span>The audit cannot be written, so nothing is sent to the cloud. The log says why.</span> });
  if (state.ledger_failing) notes.push({ tone: "warn", text: <span>The ledger cannot be written. Its rows wait; the log says why.</span> });
  if (state.approvals > 0)
    notes.push({
      tone: "warn",
      text: (
        <span>
          {state.approvals === 1 ? "One call of a tool waits" : `${state.approvals} calls of tools wait`} for a person. <a href="#approvals">Decide</a>
        </span>
      ),
    });
  return (
    <>
      {notes.map((note, i) => (
        <div class={`notice ${note.tone}`} key={i}>
          <Icon name="warn" />
          {note.text}
        </div>
      ))}
    </>
  );
}

interface Line extends Health {
  key: string;
  provider: Provider;
  instance: string | undefined;
}

const linesOf = (providers: readonly Provider[]): Line[] =>
  providers.flatMap((provider) => [
    { ...provider, key: provider.provider, provider, instance: undefined },
    ...(provider.instances ?? []).map((one) => ({ ...one, key: one.instance, provider, instance: one.instance })),
  ]);

function Standing({ line }: { line: Line }): JSX.Element {
  const { word, tone } = standing(line);
  return (
    <>
      <Chip tone={tone}>{word}</Chip>
      {line.next_retry !== null && <span class="aside">next try {second(new Date(line.next_retry))}</span>}
      {line.error_message !== null && <span class="aside">{line.error_message}</span>}
      {line.instance === undefined && line.provider.refused !== undefined && <span class="aside">nothing is sent there: {line.provider.refused}</span>}
    </>
  );
}

export function Providers({ providers }: { providers: readonly Provider[] }): JSX.Element {
  return (
    <Table
      caption="Providers and their breakers"
      quietCaption
      rows={linesOf(providers)}
      keyOf={(line) => line.key}
      empty="No provider is configured. Name one under providers: in the configuration."
      columns={[
        { head: "Provider", cell: (line) => (line.instance === undefined ? line.provider.provider : <span class="inner">{line.instance}</span>) },
        { head: "Kind", cell: (line) => (line.instance === undefined ? line.provider.kind : "") },
        { head: "Zone", cell: (line) => (line.instance === undefined ? <Zone zone={line.provider.is_local ? "local" : "cloud"} /> : "") },
        { head: "State", cell: (line) => <Standing line={line} /> },
        { head: "Breaker", cell: (line) => line.breaker.replace("_", " ") },
        { head: "In flight", number: true, cell: (line) => line.in_flight },
        { head: "Waiting", number: true, cell: (line) => line.waiting },
        { head: "Mean time", number: true, cell: (line) => (line.avg_latency_ms === null ? "-" : milliseconds(line.avg_latency_ms)) },
        {
          head: "Models",
          number: true,
          cell: (line) => (line.instance === undefined ? <a href="#models">{line.provider.models.length}</a> : ""),
        },
      ]}
    />
  );
}

function LastHour(): JSX.Element {
  const traffic = useTraffic(60);
  return <Show of={traffic}>{(value) => <Hour traffic={value} />}</Show>;
}

function Hour({ traffic }: { traffic: Traffic }): JSX.Element {
  const times = useMemo(() => timesOf(traffic), [traffic]);
  const series = useMemo(
    () => [
      { label: "Local", values: traffic.local },
      { label: "Cloud", values: traffic.cloud },
      { label: "Failed or stopped", values: traffic.failures },
    ],
    [traffic],
  );
  return <Chart title="Requests a minute, the last hour" times={times} span={3600} series={series} stacked height={150} />;
}

const word = (record: AuditRecord, name: string): string => {
  const value = record[name];
  return typeof value === "string" && value !== "" ? value : "-";
};

/** From the audit, so it says what is proven. */
function Latest(): JSX.Element {
  const page = useMinutes((signal) => get<AuditPage>("/router/audit?type=exchange&limit=8", signal), []);
  return (
    <Have of={page} absent="They are told from the audit, which this router does not keep.">
      {({ records }) => (
        <Table
          caption="The latest exchanges"
          quietCaption
          rows={records}
          keyOf={(record) => String(record.seq)}
          empty="Nothing was asked yet."
          columns={[
            { head: "Ended", whole: true, cell: (record) => time(record.time) },
            { head: "Kind of task", cell: (record) => word(record, "task").replaceAll("_", " ") },
            { head: "Provider", cell: (record) => word(record, "provider") },
            { head: "Model", cell: (record) => word(record, "model") },
            { head: "Private", cell: (record) => (record["private"] === true ? "yes" : "no") },
            { head: "Outcome", cell: (record) => <Chip tone={record["outcome"] === "ok" ? "good" : ""}>{word(record, "outcome").replaceAll("_", " ")}</Chip> },
          ]}
        />
      )}
    </Have>
  );
}

export function Overview(): JSX.Element {
  const { state } = useWatched();
  const ended = state === undefined ? 0 : state.answers + state.failures;
  return (
    <>
      <PageHead title="Overview" intro="How the router and its providers are at this moment. It keeps itself up to date." />
      {state === undefined ? (
        <Spinner label="Waiting for the first state" />
      ) : (
        <>
          <Banners state={state} />
          <Stats
            label="Now and since the start"
            items={[
              ["Ready", state.ready ? <Chip tone="good">yes</Chip> : <Chip tone="bad">no</Chip>],
              ["In flight", count(state.in_flight)],
              ["Streams", count(state.streams)],
              ["Answers", count(state.answers)],
              ["Failed or stopped", `${count(state.failures)} (${percent(state.failures, ended)})`],
              ["Private", `${count(state.private)} (${percent(state.private, ended)})`],
              ["Tokens in", count(state.input_tokens)],
              ["Tokens out", count(state.output_tokens)],
              ["Cost", dollars(state.cost_micro_usd)],
            ]}
          />
          <Section title="Providers">
            <Providers providers={state.providers} />
          </Section>
        </>
      )}
      <Section title="Traffic" actions={<a href="#traffic">More</a>}>
        <LastHour />
      </Section>
      <Section title="The latest exchanges" actions={<a href="#audit">More</a>}>
        <Latest />
      </Section>
    </>
  );
}
