// SPDX-License-Identifier: Apache-2.0
// main - the chat page: who is there, a login if that is needed, the list of conversations and the open one. Which one is
// open stands in the address, behind #, so that a reload and the back button find it.
import { render } from "preact";
import type { JSX } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { me } from "../shared/api.ts";
import type { Me } from "../shared/api.ts";
import { useHash, useLoad } from "../shared/hooks.ts";
import { Frame, Login } from "../shared/layout.tsx";
import { IconButton, needsLogin, Show } from "../shared/ui.tsx";
import { isId, newId } from "./link.ts";
import type { Mode } from "./protocol.ts";
import { Room } from "./room.tsx";
import { Sidebar } from "./sidebar.tsx";
import "../shared/style.css";
import "./chat.css";

function Chat({ user, onLogin }: { user: Me; onLogin: () => void }): JSX.Element {
  const hash = useHash();
  const [turn, setTurn] = useState(0);
  const [list, setList] = useState(false);
  const [mode, setMode] = useState<Mode>(user.modes.includes("hybrid") ? "hybrid" : "local");
  const [model, setModel] = useState("");
  const fresh = useCallback(() => {
    location.hash = newId();
    setList(false);
  }, []);
  useEffect(() => {
    if (!isId(hash)) history.replaceState(null, "", `#${newId()}`);
    if (!isId(hash)) dispatchEvent(new HashChangeEvent("hashchange"));
  }, [hash]);
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && list) setList(false);
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [list]);
  return (
    <div class="chat">
      <Sidebar
        open={hash}
        turn={turn}
        shown={list}
        onClose={() => setList(false)}
        onNew={fresh}
        onGone={(id) => {
          if (id === hash) fresh();
        }}
      />
      {list && <div class="veil" onClick={() => setList(false)} />}
      <IconButton icon="menu" class="phone menu" label="Conversations" aria-expanded={list} onClick={() => setList(true)} />
      {isId(hash) && (
        <Room key={hash} id={hash} me={user} mode={mode} model={model} onMode={setMode} onModel={setModel} onChanged={() => setTurn((n) => n + 1)} onLogin={onLogin} />
      )}
    </div>
  );
}

function App(): JSX.Element {
  const who = useLoad(me, []);
  const [out, setOut] = useState(false);
  const back = (): void => {
    setOut(false);
    who.reload();
  };
  if (out || needsLogin(who.error))
    return (
      <Frame place="chat" me={undefined}>
        <Login onDone={back} />
      </Frame>
    );
  return (
    <Frame place="chat" me={who.value} onLogout={() => setOut(true)}>
      <Show of={who}>{(user) => <Chat user={user} onLogin={() => setOut(true)} />}</Show>
    </Frame>
  );
}

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
