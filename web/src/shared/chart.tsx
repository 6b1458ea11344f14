// SPDX-License-Identifier: Apache-2.0
/*
 * chart - lines or areas over time, drawn by uPlot. A canvas says nothing to who cannot see it: each chart has the same
 * figures as a table, folded.
 *
 * The time axis is as long as it was said to be, however few figures there are: uPlot would give a single one three years.
 *
 * Colours are the theme's (style.css: --series-1 to --series-6); a change of theme draws anew. uPlot wants seconds.
 */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { minute } from "./format.ts";

export interface Series {
  label: string;
  values: readonly (number | null)[];
  format?: (value: number) => string;
}

interface ChartProps {
  title: string;
  times: readonly number[]; // seconds since 1970
  span: number; // how many seconds are shown, up to the last of them
  series: readonly Series[];
  height?: number;
  area?: boolean;
  /** Each series stands on those before it. */
  stacked?: boolean;
}

/** Running sums over the series, for areas that stand on one another. */
export function stack(series: readonly Series[]): (number | null)[][] {
  const sums: number[] = [];
  return series.map((one) =>
    one.values.map((value, i) => {
      sums[i] = (sums[i] ?? 0) + (value ?? 0);
      return sums[i] ?? null;
    }),
  );
}

function colour(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

const faint = (stroke: string, stacked = false): string => `color-mix(in srgb, ${stroke} ${stacked ? 65 : 22}%, transparent)`;

function options(element: HTMLElement, props: ChartProps): uPlot.Options {
  const ink = colour(element, "--ink-soft");
  const last = props.times.at(-1) ?? 0;
  const axis = { stroke: ink, grid: { stroke: colour(element, "--line"), width: 1 }, ticks: { show: false } };
  const first = props.series[0]?.format;
  return {
    width: element.clientWidth,
    height: props.height ?? 180,
    legend: { show: true, live: true, markers: { width: 0, fill: (_plot: uPlot, i: number) => colour(element, `--series-${((i - 1) % 6) + 1}`) } },
    cursor: { drag: { x: false, y: false } },
    padding: [8, 24, 0, 0],
    scales: {
      x: { range: () => [last - props.span, last] },
      y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [{ ...axis, values: (_plot: uPlot, ticks: number[]) => ticks.map((tick) => minute(new Date(tick * 1000))) }, { ...axis, size: 60, ...(first === undefined ? {} : { values: (_plot: uPlot, ticks: number[]) => ticks.map(first) }) }],
    // What stands on another is filled down to it and no further.
    bands: props.stacked === true ? props.series.slice(1).map((_, i) => ({ series: [i + 2, i + 1] as [number, number], fill: faint(colour(element, `--series-${((i + 1) % 6) + 1}`), true) })) : [],
    series: [
      { value: (_plot: uPlot, time: number | null): string => (time === null ? "-" : minute(new Date(time * 1000))) },
      ...props.series.map((one, i) => {
        const stroke = colour(element, `--series-${(i % 6) + 1}`);
        const { format } = one;
        return {
          label: one.label,
          stroke,
          width: props.stacked === true ? 0 : 2, // a line on top of another would hide it where nothing lies between
          points: { show: props.times.length < 2 || (props.stacked !== true && props.times.length <= 30), size: 5 }, // a figure between two that are not there has no line
          ...(props.area === true || (props.stacked === true && i === 0) ? { fill: faint(stroke, props.stacked) } : {}),
          // In a stack the line's height is a sum; the legend tells the series' own figure.
          value: (_plot: uPlot, _sum: number, _series: number, at: number | null): string => {
            const value = at === null ? null : (one.values[at] ?? null);
            return value === null ? "-" : format === undefined ? String(value) : format(value);
          },
        };
      }),
    ],
  };
}

export function Chart(props: ChartProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    let plot: uPlot | undefined;
    const draw = (): void => {
      plot?.destroy();
      const columns = props.stacked === true ? stack(props.series) : props.series.map((one) => [...one.values]);
      plot = new uPlot(options(element, props), [[...props.times], ...columns] as uPlot.AlignedData, element);
    };
    draw();
    const size = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: props.height ?? 180 }));
    size.observe(element);
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", draw);
    return () => {
      size.disconnect();
      theme.disconnect();
      system.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, [props.times, props.series, props.span]);
  return (
    <figure class="chart">
      <figcaption>{props.title}</figcaption>
      <div ref={box} class="chart-box" aria-hidden="true" />
      <details>
        <summary>{props.title}: figures as a table</summary>
        <div class="scroll">
          <table>
            <caption class="hidden-text">{props.title}</caption>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {props.series.map((one) => (
                  <th scope="col" key={one.label}>
                    {one.label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {props.times.map((time, i) => (
                <tr key={time}>
                  <th scope="row">{minute(new Date(time * 1000))}</th>
                  {props.series.map((one) => {
                    const value = one.values[i] ?? null;
                    return <td key={one.label}>{value === null ? "-" : one.format === undefined ? value : one.format(value)}</td>;
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}
