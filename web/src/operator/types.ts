// SPDX-License-Identifier: Apache-2.0
// types - what the router tells operators: docs/operator-api.md, and what stands beside it there. Members that the pages
// do not show are left out.

export interface Health {
  is_available: boolean;
  state: "up" | "loading" | "down";
  breaker: string; // closed, open, half_open
  next_retry: string | null;
  failure_count: number;
  in_flight: number;
  waiting: number;
  avg_latency_ms: number | null;
  error_message: string | null;
}

export interface Instance extends Health {
  instance: string;
}

export interface Provider extends Health {
  provider: string;
  kind: string;
  is_local: boolean;
  refused?: string;
  instances?: Instance[];
  models: string[];
  missing_models: string[];
}

/** GET /router/events, each event. */
export interface RouterState {
  ready: boolean;
  reason: string | null;
  in_flight: number;
  streams: number;
  answers: number;
  failures: number;
  private: number;
  input_tokens: number;
  output_tokens: number;
  cost_micro_usd: number;
  approvals: number;
  audit_ready: boolean;
  ledger_failing: boolean;
  providers: Provider[];
}

/** GET /router/traffic: every list has a figure for each minute. */
export interface Traffic {
  from: number;
  step_s: number;
  minutes: number;
  requests: number[];
  failures: number[];
  private: number[];
  local: number[];
  cloud: number[];
  input_tokens: number[];
  output_tokens: number[];
  cost_micro_usd: number[];
  reference_micro_usd: number[];
  tasks: Record<string, number[]>;
  p50_ms: (number | null)[];
  p95_ms: (number | null)[];
  p99_ms: (number | null)[];
  first_p50_ms: (number | null)[];
  first_p95_ms: (number | null)[];
}

export interface Model {
  name: string;
  provider: string;
  is_local: boolean;
  loaded: boolean;
  context: number | null;
}

export interface Models {
  models: Model[];
  roles: Record<string, string[]>;
}

/** Its first member is named as what it is by: day, class, model, key, provider. */
export interface UsageRow {
  [by: string]: string | number | null;
  requests: number;
  answered: number;
  private: number;
  local: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number;
  saved_usd: number | null;
  saved_by_local_usd: number | null;
}

export interface Budget {
  spent_usd: number;
  limit_usd: number | null;
  level: "ok" | "warning" | "critical" | "exhausted";
}

export interface Usage {
  since: string;
  until: string;
  by: string;
  reference_model: string | null;
  rows: UsageRow[];
  total: UsageRow;
  truncated: boolean;
  note: string;
  budget?: Record<string, Budget>;
}

export interface Key {
  id: string;
  name: string;
  created: string | null;
  revoked: string | null;
  last_used: string | null;
  [rule: string]: unknown;
}

export interface Keys {
  keys: Key[];
}

export interface AuditRecord {
  seq: number;
  time: string;
  type: string;
  [member: string]: unknown;
}

export interface AuditPage {
  records: AuditRecord[];
  last_seq: number;
  more: boolean;
}

export interface AuditProblem {
  file: string;
  line: number;
  seq: number;
  what: string;
}

export interface AuditCheck {
  ok: boolean;
  files: number;
  records: number;
  checkpoints: number;
  problems: AuditProblem[];
  remarks?: AuditProblem[];
  unsigned_records: number;
  first_seq: number;
  last_seq: number;
  last_hash: string;
  last_time: string;
}

export interface Tool {
  name: string;
  id: string;
  title: string | null;
  description: string | null;
  effect: string;
  data: string;
  approval: string;
  refused: string | null;
  schema: unknown;
}

export interface Server {
  name: string;
  transport: string;
  zone: string;
  state: string;
  why: string | null;
  revision: string | null;
  title: string | null;
  version: string | null;
  restarts: number;
  tools: Tool[];
}

export interface Approval {
  id: string;
  decision: string;
  server: string;
  tool: string;
  effect: string;
  arguments: unknown;
  key: string | null;
  rememberable: boolean;
  asked: string | null;
  until: string | null;
  decided: string | null;
  decided_by: string | null;
  remembered: boolean;
}

export interface Target {
  provider: string;
  model: string;
  zone: string;
  why: string;
  state: string; // ready, busy, unreachable, open
}

export interface Outlook {
  is_private: boolean;
  pseudonyms: boolean;
  findings: Record<string, number>;
  task: string | null;
  class: null | {
    name: string;
    sure: boolean;
    needs_cloud: number;
    complexity: number;
    why: string | null;
    scores: Record<string, number>;
  };
  explicit: boolean;
  reason: string | null;
  rules: { rule: string; rank: string; looks_at: string; does: string }[];
  plan: Target[];
  skipped: { candidate: string; why: string }[];
  error?: { code: string; message: string };
  retry_after?: number;
}
