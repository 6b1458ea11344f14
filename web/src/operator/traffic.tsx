// SPDX-License-Identifier: Apache-2.0
// traffic - how much was asked, how long it took, which kinds and where it went, over the last minutes or hours.
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { Chart } from "../shared/chart.tsx";
import type { Series } from "../shared/chart.tsx";
import { count, dollars, milliseconds } from "../shared/format.ts";
import { Show } from "../shared/ui.tsx";
import { condense, sum, timesOf } from "./figures.ts";
import { Choice, PageHead, Section, Shares, Stats } from "./parts.tsx";
import { useTraffic } from "./state.ts";
import type { Traffic } from "./types.ts";

const RANGES = [
  ["15", "15 minutes"],
  ["60", "1 hour"],
  ["360", "6 hours"],
  ["1440", "24 hours"],
] as const;
const POINTS = 120;

/** Without a single figure it says so: an empty grid looks like a failure. */
function Line(props: { title: string; times: readonly number[]; span: number; series: readonly Series[] }): JSX.Element {
  const any = props.series.some((one) => one.values.some((value) => value !== null));
  return any ? <Chart {...props} /> : <p class="empty">{props.title}: nothing was timed.</p>;
}

function Charts({ traffic, span }: { traffic: Traffic; span: number }): JSX.Element {
  const shown = useMemo(() => condense(traffic, POINTS), [traffic]);
  const times = useMemo(() => timesOf(shown), [shown]);
  const each = shown.step_s === 60 ? "a minute" : `in ${shown.step_s / 60} minutes`;
  const requests = useMemo(
    () => [
      { label: "Local", values: shown.local, format: count },
      { label: "Cloud", values: shown.cloud, format: count },
      { label: "Failed or stopped", values: shown.failures, format: count },
    ],
    [shown],
  );
  const whole = useMemo(
    () => [
      { label: "Half within", values: shown.p50_ms, format: milliseconds },
      { label: "95 % within", values: shown.p95_ms, format: milliseconds },
      { label: "99 % within", values: shown.p99_ms, format: milliseconds },
    ],
    [shown],
  );
  const first = useMemo(
    () => [
      { label: "Half within", values: shown.first_p50_ms, format: milliseconds },
      { label: "95 % within", values: shown.first_p95_ms, format: milliseconds },
    ],
    [shown],
  );
  const tokens = useMemo(
    () => [
      { label: "Questions", values: shown.input_tokens, format: count },
      { label: "Answers", values: shown.output_tokens, format: count },
    ],
    [shown],
  );
  return (
    <div class="charts">
      <Section title="Requests">
        <Chart title={`Requests ${each}`} times={times} span={span} series={requests} stacked />
      </Section>
      <Section title="Latency">
        <Line title="Whole time of a request" times={times} span={span} series={whole} />
      </Section>
      <Section title="First token">
        <Line title="Time to the first token of an answer" times={times} span={span} series={first} />
      </Section>
      <Section title="Tokens">
        <Chart title={`Tokens ${each}`} times={times} span={span} series={tokens} />
      </Section>
    </div>
  );
}

function Parts({ traffic }: { traffic: Traffic }): JSX.Element {
  const requests = sum(traffic.requests);
  const hidden = sum(traffic.private);
  return (
    <div class="charts">
      <Section title="Classes">
        <Shares
          caption="Requests by class"
          parts={Object.entries(traffic.tasks).map(([name, values]) => ({ name: name === "none" ? "no class" : name.replaceAll("_", " "), value: sum(values) }))}
        />
      </Section>
      <Section title="Where it was answered">
        <Shares
          caption="Answers by zone"
          parts={[
            { name: "local", value: sum(traffic.local) },
            { name: "cloud", value: sum(traffic.cloud) },
          ]}
        />
        <Shares
          caption="Private requests"
          parts={[
            { name: "private", value: hidden },
            { name: "not private", value: Math.max(0, requests - hidden) },
          ]}
        />
      </Section>
    </div>
  );
}

export function TrafficPage(): JSX.Element {
  const [minutes, setMinutes] = useState("60");
  const traffic = useTraffic(Number(minutes));
  return (
    <>
      <PageHead title="Traffic" intro="Counted since the router was started, by the minute; brought up to date each minute. It has no text of anybody.">
        <Choice id="range" label="Show" value={minutes} options={RANGES} onChange={setMinutes} />
      </PageHead>
      <Show of={traffic}>
        {(value) => (
          <>
            <Stats
              label="In this time"
              items={[
                ["Requests", count(sum(value.requests))],
                ["Failed or stopped", count(sum(value.failures))],
                ["Tokens", count(sum(value.input_tokens) + sum(value.output_tokens))],
                ["Cost", dollars(sum(value.cost_micro_usd))],
                ["The cloud would have cost", dollars(sum(value.reference_micro_usd))],
              ]}
            />
            <Charts traffic={value} span={Number(minutes) * 60} />
            <Parts traffic={value} />
          </>
        )}
      </Show>
    </>
  );
}
