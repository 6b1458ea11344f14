// SPDX-License-Identifier: Apache-2.0
// state - how things stand, from the one stream of events that all pages share; and figures that are loaded anew by the
// minute while somebody looks.
import { createContext } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { get } from "../shared/api.ts";
import { useLoad } from "../shared/hooks.ts";
import type { Loaded } from "../shared/hooks.ts";
import { live } from "../shared/live.ts";
import type { LiveState } from "../shared/live.ts";
import { changes } from "./figures.ts";
import type { RouterState, Traffic } from "./types.ts";

export interface Watch {
  state: RouterState | undefined;
  link: LiveState;
  /** What has changed, in words, for who cannot see it. */
  told: string;
  reconnect: () => void;
}

export const WatchContext = createContext<Watch>({ state: undefined, link: "connecting", told: "", reconnect: () => undefined });
export const useWatched = (): Watch => useContext(WatchContext);

export function useWatch(): Watch {
  const [state, setState] = useState<RouterState>();
  const [link, setLink] = useState<LiveState>("connecting");
  const [told, setTold] = useState("");
  const [turn, setTurn] = useState(0);
  const last = useRef<RouterState | undefined>(undefined);
  useEffect(() => {
    const source = live(
      "/router/events",
      {
        state: (data) => {
          const now = data as RouterState;
          const words = changes(last.current, now);
          if (words.length > 0) setTold(words.join(" "));
          last.current = now;
          setState(now);
        },
      },
      setLink,
    );
    return () => source.close();
  }, [turn]);
  return { state, link, told, reconnect: () => setTurn((n) => n + 1) };
}

const MINUTE = 60_000;

/** Loaded at once and then each minute; a page in the background asks for nothing until it is looked at again. */
export function useMinutes<T>(load: (signal: AbortSignal) => Promise<T>, deps: readonly unknown[]): Loaded<T> {
  const loaded = useLoad(load, deps);
  const { reload } = loaded;
  useEffect(() => {
    let at = Date.now();
    const look = (): void => {
      if (document.hidden || Date.now() - at < MINUTE - 1000) return;
      at = Date.now();
      reload();
    };
    const timer = setInterval(look, MINUTE);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [reload]);
  return loaded;
}

export const useTraffic = (minutes: number): Loaded<Traffic> =>
  useMinutes((signal) => get<Traffic>(`/router/traffic?minutes=${minutes}`, signal), [minutes]);
