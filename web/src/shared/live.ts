// SPDX-License-Identifier: Apache-2.0
// live - server-sent events of the router, with one connection and no polling. The browser comes back by itself
// after a broken connection; a refusal (no right, no login) ends it, and the browser does not tell why, so the
// caller asks once by an ordinary request.
export type LiveState = "connecting" | "open" | "closed";

export interface Live {
  close(): void;
}

export function live(path: string, handlers: Readonly<Record<string, (data: unknown) => void>>, onState: (state: LiveState) => void): Live {
  const source = new EventSource(path);
  onState("connecting");
  source.onopen = () => onState("open");
  source.onerror = () => onState(source.readyState === EventSource.CLOSED ? "closed" : "connecting");
  for (const [name, take] of Object.entries(handlers))
    source.addEventListener(name, (event: MessageEvent<string>) => {
      try {
        take(JSON.parse(event.data));
      } catch (e) {
        if (!(e instanceof SyntaxError)) throw e; // an event that is no JSON is no event
      }
    });
  return {
    close() {
      source.close();
      onState("closed");
    },
  };
}
