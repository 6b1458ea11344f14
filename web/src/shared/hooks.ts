// SPDX-License-Identifier: Apache-2.0
// hooks - what the pages do again and again: load something and show that it loads, failed, or is there.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface Loaded<T> {
  value: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<{ value: T | undefined; error: unknown; loading: boolean }>({ value: undefined, error: undefined, loading: true });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const abort = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    latest.current(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ value, error: undefined, loading: false });
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setState((old) => ({ value: old.value, error, loading: false }));
      },
    );
    return () => abort.abort();
  }, [turn, ...deps]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  return { ...state, reload };
}

function hashNow(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // somebody's broken link
  }
}

/** What stands behind # in the address, without it. */
export function useHash(): string {
  const [hash, setHash] = useState(hashNow);
  useEffect(() => {
    const take = (): void => setHash(hashNow());
    addEventListener("hashchange", take);
    return () => removeEventListener("hashchange", take);
  }, []);
  return hash;
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} - llm-router`;
  }, [title]);
}
