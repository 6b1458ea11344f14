// SPDX-License-Identifier: Apache-2.0
// parts - tables, figures and shares as every page of operators shows them. What came from a server is text, never markup.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ApiError } from "../shared/api.ts";
import { percent } from "../shared/format.ts";
import type { Loaded } from "../shared/hooks.ts";
import { Icon, Show } from "../shared/ui.tsx";
import { sum } from "./figures.ts";
import type { Tone } from "./figures.ts";

export interface Column<T> {
  head: string;
  number?: boolean;
  whole?: boolean; // on one line
  cell: (row: T) => ComponentChildren;
}

interface TableProps<T> {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  empty: string;
  foot?: T;
  /** The caption is read out only: a heading above says the same. */
  quietCaption?: boolean;
}

/** The first column names the row. A narrow screen scrolls it sideways, with the keyboard too. */
export function Table<T>({ caption, columns, rows, keyOf, empty, foot, quietCaption = false }: TableProps<T>): JSX.Element {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  const line = (row: T, key: string): JSX.Element => (
    <tr key={key}>
      {columns.map((column, i) => {
        const classes = column.number === true ? "number" : column.whole === true ? "whole" : undefined;
        return i === 0 ? (
          <th scope="row" class={classes} key={column.head}>
            {column.cell(row)}
          </th>
        ) : (
          <td class={classes} key={column.head}>
            {column.cell(row)}
          </td>
        );
      })}
    </tr>
  );
  return (
    <div class="scroll" role="group" aria-label={caption} tabIndex={0}>
      <table>
        <caption class={quietCaption ? "hidden-text" : undefined}>{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col" class={column.number === true ? "number" : undefined} key={column.head}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{rows.map((row) => line(row, keyOf(row)))}</tbody>
        {foot !== undefined && <tfoot>{line(foot, "foot")}</tfoot>}
      </table>
    </div>
  );
}

export function Stats({ label, items }: { label: string; items: readonly (readonly [string, ComponentChildren])[] }): JSX.Element {
  return (
    <dl class="stats" aria-label={label}>
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Chip({ tone, children }: { tone: Tone | "local" | "cloud"; children: ComponentChildren }): JSX.Element {
  return <span class={`chip ${tone}`}>{children}</span>;
}

/** Parts of a whole: figures in a table, and bars for the eye. */
export function Shares({ caption, parts }: { caption: string; parts: readonly { name: string; value: number }[] }): JSX.Element {
  const whole = sum(parts.map((part) => part.value));
  const rows = parts.filter((part) => part.value > 0).sort((a, b) => b.value - a.value);
  return (
    <Table
      caption={caption}
      rows={rows}
      keyOf={(part) => part.name}
      empty={`${caption}: nothing yet.`}
      columns={[
        { head: "Part", cell: (part) => part.name },
        {
          head: "Share",
          cell: (part) => (
            <span class="share">
              <span class="track" aria-hidden="true">
                <span style={{ width: `${whole > 0 ? (100 * part.value) / whole : 0}%` }} />
              </span>
              {percent(part.value, whole)}
            </span>
          ),
        },
        { head: "Number", number: true, cell: (part) => (Number.isInteger(part.value) ? part.value.toLocaleString("en-US") : part.value.toFixed(3)) },
      ]}
    />
  );
}

/** Arguments, schemas, records: as they are, indented. */
export function Json({ value, label }: { value: unknown; label: string }): JSX.Element {
  return (
    <pre class="json" tabIndex={0} role="group" aria-label={label}>
      {JSON.stringify(value, null, 2)}
    </pre>
  );
}

interface HeadProps {
  title: string;
  intro: ComponentChildren;
  children?: ComponentChildren;
}

/** Whoever comes here by a link in the page hears where he is: the heading gets the focus. */
export function PageHead({ title, intro, children }: HeadProps): JSX.Element {
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (document.activeElement !== null && document.activeElement !== document.body) ref.current?.focus();
  }, [title]);
  return (
    <div class="page-head">
      <div>
        <h1 ref={ref} tabIndex={-1}>
          {title}
        </h1>
        <p class="help">{intro}</p>
      </div>
      {children !== undefined && <div class="actions">{children}</div>}
    </div>
  );
}

export function Section({ title, children, actions }: { title: string; children: ComponentChildren; actions?: ComponentChildren }): JSX.Element {
  return (
    <section class="panel" aria-label={title}>
      <div class="section-head">
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** As Show; a router that does not have this at all (404) is told apart from one where it fails. */
export function Have<T>({ of, absent, children }: { of: Loaded<T>; absent: ComponentChildren; children: (value: T) => ComponentChildren }): JSX.Element {
  if (of.value === undefined && of.error instanceof ApiError && of.error.status === 404)
    return (
      <div class="notice">
        <Icon name="info" />
        <span>{absent}</span>
      </div>
    );
  return <Show of={of}>{children}</Show>;
}

interface ChoiceProps {
  id: string;
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}

export function Choice({ id, label, value, options, onChange }: ChoiceProps): JSX.Element {
  return (
    <span class="choice">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([key, text]) => (
          <option value={key} key={key}>
            {text}
          </option>
        ))}
      </select>
    </span>
  );
}
