// SPDX-License-Identifier: Apache-2.0
/*
 * link - one conversation's WebSocket, and its coming back.
 *
 *   closed by 1000, 4001, 4003     we stay away: not logged in, not ours
 *   by anything else               again after 0.5 s, 1 s, 2 s ... 20 s, with some chance in it; at once when the network is
 *                                  back or the page is looked at again
 *
 * After each connection the history is asked for, so nothing is lost in between, not even in mid-answer. A question that
 * was said but never came back as `message` is handed back, not sent again: it may have been taken.
 */
import { parseFrame } from "./protocol.ts";
import type { Frame, Mode, Said } from "./protocol.ts";

export type LinkState = "connecting" | "open" | "waiting" | "login" | "forbidden" | "ended";

export interface LinkOptions {
  id: string;
  mode: Mode;
  model: string;
  onFrames: (frames: Frame[]) => void;
  onState: (state: LinkState, closedBy?: number) => void;
  /** Stand-ins for tests. */
  connect?: (url: string) => WebSocket;
  later?: (run: () => void, ms: number) => unknown;
  random?: () => number;
}

const FIRST_MS = 500;
const LONGEST_MS = 20_000;

export class Link {
  #options: LinkOptions;
  #socket: WebSocket | undefined;
  #tries = 0;
  #gone = false;
  #waiting = false;
  #heard: Frame[] = [];
  #due = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#open();
  }

  get open(): boolean {
    return this.#socket?.readyState === 1;
  }

  /** False: there is no connection, nothing was said. */
  say(frame: Said): boolean {
    if (!this.open) return false;
    this.#socket?.send(JSON.stringify(frame));
    return true;
  }

  /** Not in a while, but now. */
  hurry(): void {
    if (!this.#waiting || this.#gone) return;
    this.#tries = 0;
    this.#waiting = false;
    this.#open();
  }

  close(): void {
    this.#gone = true;
    this.#socket?.close(1000);
  }

  #url(): string {
    const { id, mode, model } = this.#options;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = new URLSearchParams({ mode, ...(model === "" ? {} : { model }) });
    return `${scheme}://${location.host}/ws/${encodeURIComponent(id)}?${query.toString()}`;
  }

  #open(): void {
    const socket = this.#options.connect?.(this.#url()) ?? new WebSocket(this.#url());
    this.#socket = socket;
    this.#options.onState("connecting");
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.#socket === socket && typeof event.data === "string") this.#take(event.data);
    };
    socket.onclose = (event: CloseEvent) => {
      if (this.#socket === socket) this.#closed(event.code);
    };
  }

  #take(text: string): void {
    const frame = parseFrame(text);
    if (frame === undefined || this.#gone) return;
    if (frame.type === "connected") {
      this.#tries = 0;
      this.#options.onState("open");
      if (frame.history_count > 0 || frame.running === true) this.say({ type: "get_history" });
    }
    this.#heard.push(frame);
    if (this.#due) return;
    // What arrives within one frame of the screen is drawn once. A page that nobody sees gets no such frames.
    this.#due = true;
    const give = (): void => {
      this.#due = false;
      const frames = this.#heard;
      this.#heard = [];
      if (!this.#gone && frames.length > 0) this.#options.onFrames(frames);
    };
    if (typeof document === "undefined" || document.hidden || typeof requestAnimationFrame === "undefined") setTimeout(give, 0);
    else requestAnimationFrame(give);
  }

  #closed(code: number): void {
    if (this.#gone) return;
    if (code === 4001 || code === 4003 || code === 1000) {
      this.#gone = true;
      this.#options.onState(code === 4001 ? "login" : code === 4003 ? "forbidden" : "ended");
      return;
    }
    const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries) * (0.5 + (this.#options.random ?? Math.random)() / 2);
    this.#tries++;
    this.#waiting = true;
    this.#options.onState("waiting", code);
    (this.#options.later ?? setTimeout)(() => {
      if (this.#gone || !this.#waiting) return;
      this.#waiting = false;
      this.#open();
    }, ms);
  }
}

/** crypto.randomUUID() is only there on https and on this very machine. */
export function newId(): string {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = ((b[6] ?? 0) & 0x0f) | 0x40;
  b[8] = ((b[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export function isId(text: string): boolean {
  return /^[A-Za-z0-9-]{8,64}$/.test(text) && text !== "new";
}
