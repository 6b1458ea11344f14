// SPDX-License-Identifier: Apache-2.0
// main - the operator's pages: who is there, a login if that is needed, and the page that the address names.
import { render } from "preact";
import type { JSX } from "preact";
import { ApiError, get, me } from "../shared/api.ts";
import { useLoad } from "../shared/hooks.ts";
import { Frame, Login } from "../shared/layout.tsx";
import { ErrorBox, needsLogin, Show } from "../shared/ui.tsx";
import "../shared/style.css";

interface Health {
  providers: { name: string; zone?: string; available?: boolean }[];
}

function Overview(): JSX.Element {
  const health = useLoad((signal) => get<Health>("/router/providers", signal), []);
  return <Show of={health}>{(value) => <pre>{JSON.stringify(value, null, 2)}</pre>}</Show>;
}

function App(): JSX.Element {
  const who = useLoad(me, []);
  const unknown = who.error instanceof ApiError && who.error.status === 404;
  if (needsLogin(who.error))
    return (
      <Frame place="operator" me={undefined}>
        <Login onDone={who.reload} />
      </Frame>
    );
  return (
    <Frame place="operator" me={who.value} onLogout={who.reload}>
      <main id="main" tabIndex={-1}>
        <h1>Operator</h1>
        {who.error !== undefined && !unknown ? <ErrorBox error={who.error} onRetry={who.reload} /> : <Overview />}
      </main>
    </Frame>
  );
}

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
