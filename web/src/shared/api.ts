// SPDX-License-Identifier: Apache-2.0
// api - requests to the router itself, and nobody else. What goes wrong is an ApiError with words for a person.

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: nobody answered
    message: string,
    readonly code = "",
    readonly retryAfter = 0,
  ) {
    super(message);
    this.name = "ApiError";
  }
  /** The caller is not logged in, or his login has ended. */
  get needsLogin(): boolean {
    return this.status === 401;
  }
}

const PLAIN: Readonly<Record<number, string>> = {
  0: "The router does not answer. Is it running?",
  401: "You are not logged in.",
  403: "This is not allowed with your key.",
  404: "This is not here any more.",
  409: "It is busy right now. Try again when it has finished.",
  429: "Too many requests. Wait a moment.",
  503: "The router cannot serve this right now.",
};

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** Words of an error answer, whichever dialect it is in. */
export function errorOf(status: number, body: unknown, retryAfter = 0): ApiError {
  const inner = member(body, "error");
  const detail = member(body, "detail");
  const first: unknown = Array.isArray(detail) ? detail[0] : undefined; // the native door, of a member that is wrong
  const candidates = [inner, member(inner, "message"), member(body, "message"), detail, member(first, "msg"), member(body, "error_description")];
  const message = candidates.find((text): text is string => typeof text === "string" && text !== "");
  const code = [member(inner, "code"), member(body, "code"), member(inner, "type")].find((text) => typeof text === "string");
  return new ApiError(status, message ?? PLAIN[status] ?? `The router answered with status ${status}.`, typeof code === "string" ? code : "", retryAfter);
}

export async function request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  if (signal !== undefined) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw errorOf(0, null);
  }
  if (!response.ok) {
    const parsed: unknown = await response.json().catch(() => null);
    throw errorOf(response.status, parsed, Number(response.headers.get("Retry-After") ?? "0") || 0);
  }
  return response;
}

/** The caller names the type that he expects; what comes is read with care by who uses it. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request("GET", path, undefined, signal)).json()) as T;
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await request("POST", path, body, signal);
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

export async function remove(path: string): Promise<void> {
  await request("DELETE", path);
}

/** Who is using the page: GET /chat/me (docs/chat.md). */
export interface Me {
  user: string;
  name?: string;
  admin: boolean;
  login: "none" | "key" | "cookie";
  kept: boolean;
  modes: string[];
  message_bytes: number; // a message has at most
  version: string;
}

export const me = (): Promise<Me> => get<Me>("/chat/me");
export const login = (key: string): Promise<unknown> => post("/chat/login", { key });
export const logout = (): Promise<unknown> => post("/chat/logout", {});

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong.";
}
