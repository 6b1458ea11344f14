// SPDX-License-Identifier: Apache-2.0
// main - the chat page: who is there, a login if that is needed, then the conversations.
import { render } from "preact";
import type { JSX } from "preact";
import { me } from "../shared/api.ts";
import { useLoad } from "../shared/hooks.ts";
import { Frame, Login } from "../shared/layout.tsx";
import { needsLogin, Show } from "../shared/ui.tsx";
import "../shared/style.css";

function App(): JSX.Element {
  const who = useLoad(me, []);
  if (needsLogin(who.error))
    return (
      <Frame place="chat" me={undefined}>
        <Login onDone={who.reload} />
      </Frame>
    );
  return (
    <Frame place="chat" me={who.value} onLogout={who.reload}>
      <main id="main" tabIndex={-1}>
        <Show of={who}>{(value) => <h1>{value.user}</h1>}</Show>
      </main>
    </Frame>
  );
}

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
