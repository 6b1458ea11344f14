// SPDX-License-Identifier: Apache-2.0
// layout - the frame of every page: skip link, bar with places and theme, main part; and the login in its place.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { login, logout, wordsOf } from "./api.ts";
import type { Me } from "./api.ts";
import { setTheme, storedTheme, THEMES } from "./theme.ts";
import type { Theme } from "./theme.ts";
import { Icon, IconButton } from "./ui.tsx";

const THEME_WORDS: Readonly<Record<Theme, string>> = { system: "as the system", light: "light", dark: "dark" };
const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" } as const;

export function ThemeSwitch(): JSX.Element {
  const [theme, set] = useState<Theme>(storedTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  return (
    <IconButton
      icon={THEME_ICONS[theme]}
      label={`Colours: ${THEME_WORDS[theme]}. Change to ${THEME_WORDS[next]}`}
      onClick={() => {
        setTheme(next);
        set(next);
      }}
    />
  );
}

interface FrameProps {
  place: "chat" | "operator";
  me: Me | undefined;
  start?: ComponentChildren; // in the bar, before the name
  onLogout?: () => void;
  children: ComponentChildren;
}

export function Frame({ place, me, start, onLogout, children }: FrameProps): JSX.Element {
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => skipTo(event, "main")}>
        Skip to the main part
      </a>
      <header class="bar">
        {start}
        <a class="brand" href="/chat">
          llm-router
        </a>
        <nav aria-label="Places">
          <a href="/chat" aria-current={place === "chat" ? "page" : undefined}>
            Chat
          </a>
          {(me === undefined ? place === "operator" : me.admin) && (
            <a href="/operator" aria-current={place === "operator" ? "page" : undefined}>
              Operator
            </a>
          )}
        </nav>
        <span class="grow" />
        <ThemeSwitch />
        {me !== undefined && me.login === "cookie" && onLogout !== undefined && (
          <button
            type="button"
            class="quiet logout"
            onClick={() => {
              void logout().finally(onLogout);
            }}
          >
            <Icon name="exit" />
            <span>Log out</span>
          </button>
        )}
      </header>
      {children}
    </>
  );
}

/** The address' # belongs to the pages, so a skip link moves the focus itself. */
function skipTo(event: Event, id: string): void {
  event.preventDefault();
  document.getElementById(id)?.focus();
}

export function Login({ onDone }: { onDone: () => void }): JSX.Element {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (key === "" || busy) return;
    setBusy(true);
    setError("");
    login(key).then(onDone, (e: unknown) => {
      setBusy(false);
      setError(wordsOf(e));
      input.current?.select();
    });
  };
  return (
    <main id="main" class="login" tabIndex={-1}>
      <form onSubmit={submit}>
        <h1>Log in</h1>
        <p id="login-help">
          This router answers only those who have a key. Your administrator makes one with <code>llm-router keys add</code>. It is
          checked here and not kept in the browser; you stay logged in for 12 hours.
        </p>
        <label for="login-key">API key</label>
        <input
          id="login-key"
          ref={input}
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          required
          aria-describedby={error === "" ? "login-help" : "login-error"}
          aria-invalid={error !== ""}
        />
        {error !== "" && (
          <p id="login-error" class="notice bad" role="alert">
            <Icon name="warn" /> {error}
          </p>
        )}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Checking" : "Log in"}
        </button>
      </form>
    </main>
  );
}
