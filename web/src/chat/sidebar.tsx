// SPDX-License-Identifier: Apache-2.0
// sidebar - the conversations that are kept: newest first, searched by the router, fetched in pages.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, post, remove } from "../shared/api.ts";
import { ago, plural } from "../shared/format.ts";
import { Confirm, Dialog, ErrorBox, Icon, IconButton } from "../shared/ui.tsx";
import type { Mode } from "./protocol.ts";

export interface Kept {
  session_id: string;
  title: string;
  message_count: number;
  created_at: string;
  last_activity: string;
  mode: Mode;
  model: string;
  private: boolean;
}

const PAGE = 40;

interface SidebarProps {
  open: string; // the conversation that is shown
  turn: number; // a change of it has the list read again
  shown: boolean; // on a phone
  onClose: () => void;
  onNew: () => void;
  onGone: (id: string) => void;
}

export function Sidebar({ open, turn, shown, onClose, onNew, onGone }: SidebarProps): JSX.Element {
  const [query, setQuery] = useState("");
  const [list, setList] = useState<Kept[]>([]);
  const [more, setMore] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const [chosen, setChosen] = useState<Kept | undefined>(undefined);
  const [again, setAgain] = useState(0);
  const asked = useRef(0);

  const load = (before?: string): void => {
    const mine = ++asked.current;
    const search = new URLSearchParams({ limit: String(PAGE), ...(query === "" ? {} : { q: query }), ...(before === undefined ? {} : { before }) });
    get<{ sessions: Kept[] }>(`/chat/sessions?${search.toString()}`).then(
      ({ sessions }) => {
        if (mine !== asked.current) return; // something else was asked since
        setList((old) => (before === undefined ? sessions : [...old, ...sessions]));
        setMore(sessions.length === PAGE);
        setError(undefined);
      },
      (e: unknown) => {
        if (mine === asked.current) setError(e);
      },
    );
  };
  useEffect(() => {
    const timer = setTimeout(() => load(), query === "" ? 0 : 250);
    return () => clearTimeout(timer);
  }, [query, turn, again]);

  return (
    <aside class={`sidebar ${shown ? "shown" : ""}`} aria-label="Conversations">
      <div class="sidebar-head">
        <button type="button" class="primary" onClick={onNew}>
          <Icon name="plus" /> New conversation
        </button>
        <IconButton icon="close" class="phone" label="Close the list" onClick={onClose} />
      </div>
      <label class="search">
        <Icon name="search" size={16} />
        <span class="hidden-text">Search conversations</span>
        <input type="search" value={query} placeholder="Search" onInput={(event) => setQuery(event.currentTarget.value.trim())} />
      </label>
      {error !== undefined && <ErrorBox error={error} onRetry={() => setAgain((n) => n + 1)} />}
      <nav aria-label="Kept conversations">
        <ul>
          {list.map((kept) => (
            <li key={kept.session_id}>
              <a href={`#${kept.session_id}`} aria-current={kept.session_id === open ? "page" : undefined} onClick={onClose}>
                <span class="title">
                  {kept.private && <Icon name="lock" size={13} />}
                  {kept.title === "" ? "Without a title" : kept.title}
                </span>
                <span class="soft">
                  {ago(Date.parse(kept.last_activity), Date.now())}, {plural(kept.message_count, "message")}
                  {kept.private && <span class="hidden-text">, private</span>}
                </span>
              </a>
              <IconButton icon="more" label={`Rename, export or delete: ${kept.title}`} onClick={() => setChosen(kept)} />
            </li>
          ))}
        </ul>
        {list.length === 0 && error === undefined && <p class="soft empty">{query === "" ? "Nothing is kept yet." : "Nothing is found."}</p>}
        {more && (
          <button type="button" class="quiet" onClick={() => load(list.at(-1)?.last_activity)}>
            Show older ones
          </button>
        )}
      </nav>
      {chosen !== undefined && (
        <KeptDialog
          kept={chosen}
          onClose={() => setChosen(undefined)}
          onChanged={() => setAgain((n) => n + 1)}
          onGone={() => {
            setChosen(undefined);
            setList((old) => old.filter((k) => k.session_id !== chosen.session_id));
            onGone(chosen.session_id);
          }}
        />
      )}
    </aside>
  );
}

interface KeptDialogProps {
  kept: Kept;
  onClose: () => void;
  onChanged: () => void;
  onGone: () => void;
}

function KeptDialog({ kept, onClose, onChanged, onGone }: KeptDialogProps): JSX.Element {
  const [title, setTitle] = useState(kept.title);
  const [error, setError] = useState<unknown>(undefined);
  const [sure, setSure] = useState(false);
  const path = `/chat/sessions/${encodeURIComponent(kept.session_id)}`;
  if (sure)
    return (
      <Confirm
        title="Delete the conversation?"
        action="Delete"
        danger
        onNo={() => setSure(false)}
        onYes={() => {
          remove(path).then(onGone, (e: unknown) => {
            setSure(false);
            setError(e);
          });
        }}
      >
        <p>
          “{kept.title}” is deleted for good, with its {plural(kept.message_count, "message")}. Nobody can bring it back.
        </p>
      </Confirm>
    );
  return (
    <Dialog title="Conversation" onClose={onClose} class="narrow">
      {error !== undefined && <ErrorBox error={error} />}
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          post(path, { title: title.trim() }).then(() => {
            onChanged();
            onClose();
          }, setError);
        }}
      >
        <label for="kept-title">Title</label>
        <input id="kept-title" data-first value={title} maxLength={200} required onInput={(event) => setTitle(event.currentTarget.value)} />
        <div class="actions">
          <button type="submit" class="primary">
            Rename
          </button>
        </div>
      </form>
      <div class="actions spread">
        <a class="button" href={`${path}/export?format=markdown`} download>
          <Icon name="download" /> Markdown
        </a>
        <a class="button" href={`${path}/export?format=json`} download>
          <Icon name="download" /> JSON
        </a>
        <button type="button" class="danger" onClick={() => setSure(true)}>
          <Icon name="trash" /> Delete
        </button>
      </div>
    </Dialog>
  );
}
