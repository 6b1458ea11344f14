// SPDX-License-Identifier: Apache-2.0
// protocol - what goes over the socket, as docs/chat.md has it. A frame of an unknown type is passed over.
export type Mode = "local" | "hybrid" | "cloud";

export interface Params {
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  effort?: string;
}

export interface Attachment {
  name: string;
  type: string;
  data: string; // a text, or an image in base64
}

export interface Facts {
  provider?: string;
  model?: string;
  zone?: string;
  mode?: string;
  task?: string;
  private?: boolean;
  findings?: string;
  why?: string;
  cost_micro_usd?: number;
  saved_micro_usd?: number;
  first_token_ms?: number;
  total_ms?: number;
  tokens_per_s?: number;
  usage?: { input_tokens?: number; output_tokens?: number };
  window?: { used?: number; size?: number };
  request_id?: string;
  error?: string;
}

export interface ToolCall {
  id: string;
  name: string;
  server?: string;
  input?: unknown; // not there: it is still being written
  result?: unknown;
  is_error?: boolean;
  quality?: string;
}

export type MessageState = "complete" | "running" | "interrupted" | "error";

export interface Message {
  n: number;
  parent: number;
  role: "user" | "assistant";
  content: string;
  timestamp?: string;
  state?: MessageState;
  reasoning?: string;
  siblings?: number[];
  tool_calls?: ToolCall[];
  attachments?: { name: string; type?: string; bytes?: number }[];
  facts?: Facts;
}

/** As the router tells it: a first message has no parent. */
export type Told = Omit<Message, "parent"> & { parent?: number };

export interface Approval {
  id: string;
  call: string; // of the tool call that waits
  name: string;
  server: string;
  input: unknown;
  effect: string;
  until: string;
  always?: boolean; // asked each time, whatever was remembered
}

interface Settings {
  mode?: Mode;
  model?: string;
  title?: string;
  private?: boolean;
  system?: string;
  tools?: boolean;
  kept?: boolean;
}

export type Frame =
  | ({ type: "connected"; session_id: string; history_count: number; running?: boolean } & Settings)
  | ({ type: "session" } & Settings)
  | { type: "history"; session_id: string; messages: Told[]; leaf?: number }
  | { type: "message"; message: Told; ref?: string; queued?: boolean }
  | { type: "begin"; n: number; parent: number }
  | { type: "reasoning" | "token"; content: string }
  | { type: "tool_call_start"; id: string; name: string }
  | { type: "tool_call"; id: string; name: string; input: unknown; server?: string }
  | ({ type: "approval" } & Approval)
  | { type: "decided"; id: string; decision: string; by?: string }
  | { type: "tool_result"; id: string; result: unknown; is_error?: boolean; quality?: string }
  | ({ type: "complete"; n: number } & Facts)
  | { type: "interrupted"; message?: string; partial_response?: boolean; n?: number; dropped?: number }
  | { type: "error"; message: string; code?: string; n?: number; retry_after?: number; fatal?: boolean }
  | { type: "summary"; messages: number; tokens: number; model?: string | null }
  | { type: "notice"; code: string; message: string };

export type Said =
  | { type: "user_message"; content: string; attachments?: Attachment[]; ref: string }
  | { type: "interrupt" }
  | { type: "get_history" }
  | { type: "set"; mode?: Mode; model?: string; system?: string; title?: string; params?: Params; tools?: boolean }
  | { type: "retry"; message: number }
  | { type: "edit"; message: number; content: string }
  | { type: "branch"; message: number }
  | { type: "approve"; id: string; decision: "approve" | "deny"; remember?: boolean };

export function parseFrame(text: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" ? (value as Frame) : undefined;
  } catch {
    return undefined;
  }
}
