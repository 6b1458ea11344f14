// SPDX-License-Identifier: Apache-2.0
// stage - for tests of pages: a document without a browser, a router that says what the test says, events by hand.
//
// There is one document for all tests of a file, since a library may have taken it when it was loaded; what looks at the
// document is imported by a test only after stage().
import { Window } from "happy-dom";

export interface Call {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: unknown;
}

/** What the router answers: a value (JSON, status 200), a text, a Response, or null for 404. */
export type Answers = (call: Call) => unknown;

export class FakeSource {
  static readonly CLOSED = 2;
  static all: FakeSource[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readonly #takers = new Map<string, (event: { data: string }) => void>();
  constructor(readonly path: string) {
    FakeSource.all.push(this);
  }
  addEventListener(name: string, take: (event: { data: string }) => void): void {
    this.#takers.set(name, take);
  }
  close(): void {
    this.readyState = FakeSource.CLOSED;
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  tell(name: string, data: unknown): void {
    this.#takers.get(name)?.({ data: JSON.stringify(data) });
  }
  refuse(): void {
    this.readyState = FakeSource.CLOSED;
    this.onerror?.();
  }
}

const PARTS = ["window", "document", "location", "HTMLElement", "HTMLButtonElement", "HTMLInputElement", "Element", "Node", "Event", "MutationObserver", "CustomEvent", "getComputedStyle", "requestAnimationFrame", "cancelAnimationFrame", "addEventListener", "removeEventListener", "DOMException", "devicePixelRatio", "Image"] as const;

export interface Stage {
  calls: Call[];
  /** Until all that was begun is shown. */
  settle: () => Promise<void>;
}

/** Everything that draws: what is called does nothing, what is read is a function that does nothing. */
const brush: unknown = new Proxy(function () {}, {
  get: (_target, name) => (name === "measureText" ? () => ({ width: 10 }) : brush),
  set: () => true,
  apply: () => brush,
  construct: () => brush as object,
});

let built: Window | undefined;

export function stage(answers: Answers): Stage {
  const window = (built ??= new Window({ url: "http://127.0.0.1/operator" }));
  const own = window as unknown as Record<string, unknown>;
  const global = globalThis as unknown as Record<string, unknown>;
  const calls: Call[] = [];
  const put = (name: string, value: unknown): void => {
    Object.defineProperty(global, name, { value, configurable: true, writable: true });
    own[name] = value;
  };
  for (const name of PARTS) {
    const value = name === "window" ? window : own[name];
    Object.defineProperty(global, name, { value: typeof value === "function" && /^[a-z]/.test(name) ? (value as () => unknown).bind(window) : value, configurable: true, writable: true });
  }
  put("EventSource", FakeSource);
  put("matchMedia", () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }));
  put("ResizeObserver", class { observe(): void {} disconnect(): void {} });
  put("Path2D", brush);
  (own["HTMLCanvasElement"] as { prototype: Record<string, unknown> }).prototype["getContext"] = () => brush;
  put("fetch", (path: string, init: RequestInit = {}) => {
    const call: Call = {
      method: init.method ?? "GET",
      path,
      headers: { ...(init.headers as Record<string, string> | undefined) },
      body: typeof init.body === "string" ? JSON.parse(init.body) : undefined,
    };
    calls.push(call);
    const answer = answers(call);
    if (answer instanceof Response) return Promise.resolve(answer);
    if (answer === null || answer === undefined) return Promise.resolve(new Response("{}", { status: 404 }));
    return Promise.resolve(new Response(typeof answer === "string" ? answer : JSON.stringify(answer)));
  });
  FakeSource.all = [];
  window.location.hash = "";
  window.document.body.replaceChildren();
  return {
    calls,
    settle: async () => {
      for (let i = 0; i < 4; i++) await new Promise((resolve) => setTimeout(resolve, 25)); // Preact's effects wait for a frame
    },
  };
}
