// SPDX-License-Identifier: Apache-2.0
// figures - what the pages compute of what they are told; pure functions.
import { day, second } from "../shared/format.ts";
import type { AuditRecord, Provider, RouterState, Traffic } from "./types.ts";

export const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** At most `points` columns: neighbours are added up, and of times the longest counts. */
export function condense(traffic: Traffic, points: number): Traffic {
  const n = Math.max(1, Math.ceil(traffic.requests.length / points));
  if (n === 1) return traffic;
  const groups = <T,>(values: readonly T[]): T[][] =>
    Array.from({ length: Math.ceil(values.length / n) }, (_, i) => values.slice(i * n, i * n + n));
  const added = (values: readonly number[]): number[] => groups(values).map(sum);
  const longest = (values: readonly (number | null)[]): (number | null)[] =>
    groups(values).map((group) => group.reduce((a, b) => (a === null ? b : b === null ? a : Math.max(a, b)), null));
  return {
    ...traffic,
    step_s: traffic.step_s * n,
    requests: added(traffic.requests),
    failures: added(traffic.failures),
    private: added(traffic.private),
    local: added(traffic.local),
    cloud: added(traffic.cloud),
    input_tokens: added(traffic.input_tokens),
    output_tokens: added(traffic.output_tokens),
    cost_micro_usd: added(traffic.cost_micro_usd),
    reference_micro_usd: added(traffic.reference_micro_usd),
    tasks: Object.fromEntries(Object.entries(traffic.tasks).map(([task, values]) => [task, added(values)])),
    p50_ms: longest(traffic.p50_ms),
    p95_ms: longest(traffic.p95_ms),
    p99_ms: longest(traffic.p99_ms),
    first_p50_ms: longest(traffic.first_p50_ms),
    first_p95_ms: longest(traffic.first_p95_ms),
  };
}

/** Seconds since 1970 of each column. */
export const timesOf = (traffic: Traffic): number[] => traffic.requests.map((_, i) => traffic.from + i * traffic.step_s);

export type Tone = "good" | "warn" | "bad" | "";

/** How a provider is, in a word or two, and how that is to be looked at. */
export function standing(p: Pick<Provider, "is_available" | "state" | "breaker">): { word: string; tone: Tone } {
  if (p.state === "loading") return { word: "loading", tone: "warn" };
  if (p.breaker === "open") return { word: "breaker open", tone: "bad" };
  if (p.breaker === "half_open") return { word: "being tried", tone: "warn" };
  if (p.state === "down") return { word: "down", tone: "bad" };
  return p.is_available ? { word: "up", tone: "good" } : { word: "not reached", tone: "bad" };
}

/** What a person who cannot see the page should hear of: nothing about mere figures. */
export function changes(before: RouterState | undefined, now: RouterState): string[] {
  if (before === undefined) return [];
  const told: string[] = [];
  if (before.ready !== now.ready) told.push(now.ready ? "The router can serve again." : `The router cannot serve: ${now.reason ?? "unknown"}.`);
  for (const p of now.providers) {
    const old = before.providers.find((one) => one.provider === p.provider);
    if (old !== undefined && standing(old).word !== standing(p).word) told.push(`${p.provider}: ${standing(p).word}.`);
  }
  if (now.approvals > before.approvals) told.push(now.approvals === 1 ? "A call of a tool waits for approval." : `${now.approvals} calls of tools wait for approval.`);
  if (before.audit_ready && !now.audit_ready) told.push("The audit cannot be written.");
  return told;
}

/** Lines of the effective configuration: is an option of the top level true? undefined = it does not stand there. */
export function optionOn(text: string, name: string): boolean | undefined {
  const line = text.split("\n").find((one) => one.startsWith(`${name}:`));
  return line === undefined ? undefined : /^[^:]*:\s*true\b/.test(line);
}

export function filterLines(text: string, wanted: string): string[] {
  const lower = wanted.trim().toLowerCase();
  const lines = text.replace(/\n$/, "").split("\n");
  return lower === "" ? lines : lines.filter((line) => line.toLowerCase().includes(lower));
}

/** The sentence that tells a record, without the members that have columns of their own. */
export function recordSummary(record: AuditRecord): string {
  const shown = ["provider", "server", "tool", "model", "zone", "address", "ip", "outcome", "end", "approval", "by", "task", "findings", "reason", "why"];
  return shown
    .map((name) => [name, record[name]] as const)
    .filter(([, value]) => typeof value === "string" && value !== "")
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

/** Progress of a download as an Ollama tells it, one JSON object a line. */
export interface PullStep {
  status: string;
  total: number | undefined;
  completed: number | undefined;
  error: string | undefined;
}

export function pullStep(line: string): PullStep | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { status, total, completed, error } = value as Record<string, unknown>;
  return {
    status: typeof status === "string" ? status : "",
    total: typeof total === "number" && total > 0 ? total : undefined,
    completed: typeof completed === "number" ? completed : undefined,
    error: typeof error === "string" ? error : undefined,
  };
}

/** Lines of a stream of bytes, however it is cut; the last one may lack its end. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const parts = rest.split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) if (part.trim() !== "") yield part;
      if (done) break;
    }
    if (rest.trim() !== "") yield rest;
  } finally {
    reader.releaseLock();
  }
}

export const time = (text: string | null | undefined): string => {
  if (text === null || text === undefined || text === "") return "-";
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : `${day(date)} ${second(date)}`;
};

export const micro = (usd: number): number => Math.round(usd * 1e6);
