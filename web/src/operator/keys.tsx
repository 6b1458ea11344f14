// SPDX-License-Identifier: Apache-2.0
// keys - who may use the router and with which rules; a new key is shown once, and never again.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, post, remove } from "../shared/api.ts";
import { useLoad } from "../shared/hooks.ts";
import { Confirm, ErrorBox, Icon } from "../shared/ui.tsx";
import { time } from "./figures.ts";
import { Chip, Have, PageHead, Section, Table } from "./parts.tsx";
import type { Key, Keys } from "./types.ts";

const RULES: readonly (readonly [string, string, string])[] = [
  ["mode", "Widest mode", "local, hybrid or cloud"],
  ["models", "Models", "names, with commas"],
  ["rpm", "Requests a minute", "60"],
  ["tpm", "Tokens a minute", "100k"],
  ["concurrent", "At the same time", "4"],
  ["budget-day", "Dollars a day", "5"],
  ["budget-month", "Dollars a month", "50"],
  ["expires", "Expires", "2027-01-31 or 90d"],
];

interface Made {
  id: string;
  key: string;
}

function Fresh({ made, onSeen }: { made: Made; onSeen: () => void }): JSX.Element {
  const [copied, setCopied] = useState("");
  const copy = (): void => {
    navigator.clipboard.writeText(made.key).then(
      () => setCopied("Copied."),
      () => setCopied("The browser does not let it be copied; select it by hand."),
    );
  };
  return (
    <div class="panel stacked" role="status">
      <h2>The new key {made.id}</h2>
      <p class="help">It is shown this once. The router keeps only a digest of it.</p>
      <p>
        <code class="long" data-testid="new-key">
          {made.key}
        </code>
      </p>
      <p class="help">{copied}</p>
      <div class="actions">
        <button type="button" onClick={copy}>
          <Icon name="copy" /> Copy
        </button>
        <button type="button" class="primary" onClick={onSeen}>
          I have it
        </button>
      </div>
    </div>
  );
}

function Add({ onMade }: { onMade: (made: Made) => void }): JSX.Element {
  const [name, setName] = useState("");
  const [rules, setRules] = useState<Record<string, string>>({});
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (name.trim() === "" || busy) return;
    setBusy(true);
    setError(undefined);
    const said = Object.fromEntries(Object.entries(rules).filter(([, value]) => value.trim() !== ""));
    post<Made>("/router/keys", { name: name.trim(), rules: said })
      .then((value) => {
        setName("");
        setRules({});
        onMade(value);
      }, setError)
      .finally(() => setBusy(false));
  };
  const flag = (rule: string, text: string): JSX.Element => (
    <label class="check">
      <input type="checkbox" checked={rules[rule] === "yes"} onChange={(event) => setRules({ ...rules, [rule]: event.currentTarget.checked ? "yes" : "" })} /> {text}
    </label>
  );
  return (
    <form class="stacked" onSubmit={submit} aria-label="A new key">
      <div class="field">
        <label for="key-name">Whose key it is</label>
        <input id="key-name" value={name} required maxLength={64} onInput={(event) => setName(event.currentTarget.value)} autocomplete="off" />
      </div>
      <details>
        <summary>Rules (empty: none)</summary>
        <div class="row">
          {RULES.map(([rule, label, example]) => (
            <div class="field" key={rule}>
              <label for={`key-${rule}`}>{label}</label>
              <input id={`key-${rule}`} value={rules[rule] ?? ""} placeholder={example} onInput={(event) => setRules({ ...rules, [rule]: event.currentTarget.value })} spellcheck={false} autocomplete="off" />
            </div>
          ))}
        </div>
        {flag("private", "Everything counts as private: only local models")}
        {flag("agent", "Conversations get tools without asking for them")}
        {flag("admin", "May read and decide what operators do")}
      </details>
      {error !== undefined && <ErrorBox error={error} />}
      <div class="actions">
        <button type="submit" class="primary" disabled={busy || name.trim() === ""}>
          <Icon name="plus" /> Make a key
        </button>
      </div>
    </form>
  );
}

const OWN = ["id", "name", "created", "revoked", "last_used", "admin"];

/** Every other member of a key is a rule. */
export function rulesText(key: Key): string {
  const said = Object.entries(key).filter(([member, value]) => !OWN.includes(member) && value !== null && value !== false);
  return said.map(([rule, value]) => `${rule.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(" ") : value === true ? "yes" : String(value)}`).join(", ");
}

function List({ keys, onRevoke }: { keys: readonly Key[]; onRevoke: (key: Key) => void }): JSX.Element {
  return (
    <Table
      caption="API keys"
      quietCaption
      rows={keys}
      keyOf={(key) => key.id}
      empty="There are no keys: whoever reaches the address may use the models."
      columns={[
        { head: "Name", cell: (key) => key.name },
        { head: "Id", cell: (key) => <code>{key.id}</code> },
        { head: "State", cell: (key) => (key.revoked !== null ? <Chip tone="bad">revoked</Chip> : key["admin"] === true ? <Chip tone="warn">admin</Chip> : <Chip tone="good">valid</Chip>) },
        { head: "Rules", cell: (key) => rulesText(key) || "none" },
        { head: "Made", whole: true, cell: (key) => time(key.created) },
        { head: "Last used", whole: true, cell: (key) => key.last_used ?? "-" },
        {
          head: "Action",
          cell: (key) =>
            key.revoked === null && (
              <button type="button" class="danger" onClick={() => onRevoke(key)} aria-label={`Revoke ${key.name}`}>
                Revoke
              </button>
            ),
        },
      ]}
    />
  );
}

function KeyList({ keys, onChange }: { keys: Keys; onChange: () => void }): JSX.Element {
  const none = keys.keys.every((key) => key.revoked !== null);
  const [made, setMade] = useState<Made>();
  const [revoking, setRevoking] = useState<Key>();
  const [error, setError] = useState<unknown>();
  const revoke = (key: Key): void => {
    setRevoking(undefined);
    setError(undefined);
    remove(`/router/keys/${encodeURIComponent(key.id)}`).then(onChange, setError);
  };
  return (
    <>
      {made !== undefined && (
        <Fresh
          made={made}
          onSeen={() => {
            setMade(undefined);
            if (none) location.reload(); // from now on this page needs a key, too
            else onChange();
          }}
        />
      )}
      {error !== undefined && <ErrorBox error={error} />}
      <Section title="Keys">
        <List keys={keys.keys} onRevoke={setRevoking} />
      </Section>
      <Section title="A new key">
        {none && (
          <p class="notice warn">There is no key yet. The first one must be an administrator's, and from then on nobody gets in without a key: this page asks for it, too.</p>
        )}
        <Add onMade={setMade} />
      </Section>
      {revoking !== undefined && (
        <Confirm title={`Revoke the key of ${revoking.name}?`} action="Revoke" danger onYes={() => revoke(revoking)} onNo={() => setRevoking(undefined)}>
          <p>Whoever has it can do nothing with it from then on. It cannot be made valid again.</p>
        </Confirm>
      )}
    </>
  );
}

export function KeysPage(): JSX.Element {
  const keys = useLoad((signal) => get<Keys>("/router/keys", signal), []);
  return (
    <>
      <PageHead title="Keys" intro="Who may use the router, and with which rules. Keys themselves are kept nowhere, only their digests." />
      <Have of={keys} absent="This router does not tell its keys over HTTP. On its machine, llm-router keys list does.">
        {(value) => <KeyList keys={value} onChange={keys.reload} />}
      </Have>
    </>
  );
}
