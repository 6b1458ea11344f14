// SPDX-License-Identifier: Apache-2.0
// main - the operator's pages: who is there, a login if that is needed, and the page that the address names behind its #.
import { render } from "preact";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ApiError, me } from "../shared/api.ts";
import { useHash, useLoad, useTitle } from "../shared/hooks.ts";
import { Frame, Login } from "../shared/layout.tsx";
import { ErrorBox, Icon, needsLogin, Spinner } from "../shared/ui.tsx";
import { Approvals } from "./approvals.tsx";
import { Audit } from "./audit.tsx";
import { Config } from "./config.tsx";
import { Costs } from "./costs.tsx";
import { KeysPage } from "./keys.tsx";
import { ModelsPage } from "./models.tsx";
import { Overview } from "./overview.tsx";
import { Chip } from "./parts.tsx";
import { Playground } from "./playground.tsx";
import { useWatch, WatchContext } from "./state.ts";
import type { Watch } from "./state.ts";
import { ToolsPage } from "./tools.tsx";
import { TrafficPage } from "./traffic.tsx";
import "../shared/style.css";
import "./style.css";

interface Page {
  id: string;
  title: string;
  show: () => JSX.Element;
}

const PAGES: readonly [Page, ...Page[]] = [
  { id: "overview", title: "Overview", show: Overview },
  { id: "traffic", title: "Traffic", show: TrafficPage },
  { id: "costs", title: "Cost", show: Costs },
  { id: "models", title: "Models", show: ModelsPage },
  { id: "tools", title: "Tools", show: ToolsPage },
  { id: "approvals", title: "Approvals", show: Approvals },
  { id: "try", title: "Try a route", show: Playground },
  { id: "keys", title: "Keys", show: KeysPage },
  { id: "audit", title: "Audit", show: Audit },
  { id: "config", title: "Configuration", show: Config },
];

function Link({ watch }: { watch: Watch }): JSX.Element {
  return (
    <p class="link">
      {watch.link === "open" ? (
        <Chip tone="good">live</Chip>
      ) : watch.link === "connecting" ? (
        <Chip tone="warn">connecting</Chip>
      ) : (
        <>
          <Chip tone="bad">not up to date</Chip>
          <button type="button" onClick={watch.reconnect}>
            Connect again
          </button>
        </>
      )}
    </p>
  );
}

function Places({ at, watch }: { at: Page; watch: Watch }): JSX.Element {
  const approvals = watch.state?.approvals ?? 0;
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }); // a narrow screen shows a few
  }, [at]);
  return (
    <nav class="places" aria-label="Operator's pages">
      <ul ref={list}>
        {PAGES.map((page) => (
          <li key={page.id}>
            <a href={`#${page.id}`} aria-current={page === at ? "page" : undefined}>
              {page.title}
              {page.id === "approvals" && approvals > 0 && (
                <span class="badge">
                  {approvals}
                  <span class="hidden-text"> waiting</span>
                </span>
              )}
            </a>
          </li>
        ))}
      </ul>
      <Link watch={watch} />
    </nav>
  );
}

/** A stream that is refused does not tell why: `onRefused` asks whether the login has ended. */
function Pages({ onRefused }: { onRefused: () => void }): JSX.Element {
  const watch = useWatch();
  useEffect(() => {
    if (watch.link === "closed") onRefused();
  }, [watch.link]);
  const hash = useHash();
  const page = PAGES.find((one) => one.id === hash) ?? PAGES[0];
  const Shown = page.show;
  useTitle(page.title);
  return (
    <WatchContext.Provider value={watch}>
      <div class="operator">
        <Places at={page} watch={watch} />
        <main id="main" tabIndex={-1}>
          <p class="hidden-text" role="status" aria-live="polite">
            {watch.told}
          </p>
          <Shown key={page.id} />
        </main>
      </div>
    </WatchContext.Provider>
  );
}

function NotAdmin(): JSX.Element {
  return (
    <main id="main" tabIndex={-1} class="alone">
      <h1>Operator</h1>
      <div class="notice warn">
        <Icon name="lock" />
        <span>These pages are for administrators. Your key does not have the right admin; whoever makes keys can give it one (llm-router keys edit ID --admin yes).</span>
      </div>
    </main>
  );
}

export function App(): JSX.Element {
  const who = useLoad(me, []);
  const alone = who.error instanceof ApiError && who.error.status === 404; // a router without logins: no keys are needed
  if (needsLogin(who.error))
    return (
      <Frame place="operator" me={undefined}>
        <Login onDone={who.reload} />
      </Frame>
    );
  return (
    <Frame place="operator" me={who.value} onLogout={who.reload}>
      {who.value !== undefined || alone ? (
        who.value?.admin === false ? (
          <NotAdmin />
        ) : (
          <Pages onRefused={who.reload} />
        )
      ) : (
        <main id="main" tabIndex={-1} class="alone">
          <h1>Operator</h1>
          {who.error === undefined ? <Spinner /> : <ErrorBox error={who.error} onRetry={who.reload} />}
        </main>
      )}
    </Frame>
  );
}

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
