// SPDX-License-Identifier: Apache-2.0
// config - the configuration that is in force, every option with where it came from; secrets are not in it.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { request } from "../shared/api.ts";
import { plural } from "../shared/format.ts";
import { useLoad } from "../shared/hooks.ts";
import type { Loaded } from "../shared/hooks.ts";
import { Show } from "../shared/ui.tsx";
import { filterLines } from "./figures.ts";
import { PageHead, Section } from "./parts.tsx";

export const useConfig = (): Loaded<string> => useLoad(async (signal) => (await request("GET", "/router/config", undefined, signal)).text(), []);

function Lines({ text }: { text: string }): JSX.Element {
  const [wanted, setWanted] = useState("");
  const lines = filterLines(text, wanted);
  return (
    <>
      <div class="field">
        <label for="config-search">Only lines with</label>
        <input id="config-search" type="search" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
      </div>
      <p class="help" role="status">
        {wanted.trim() === "" ? `${plural(lines.length, "line")}.` : `${plural(lines.length, "line")} with it.`}
      </p>
      <pre class="json tall" tabIndex={0} role="group" aria-label="Lines of the configuration">
        {lines.join("\n")}
      </pre>
    </>
  );
}

export function Config(): JSX.Element {
  const config = useConfig();
  return (
    <>
      <PageHead
        title="Configuration"
        intro="What is in force now: file, environment, command line and defaults together. It is changed in the file, and taken over by a reload (SIGHUP). Secrets are not shown; *** stands where there is one."
      >
        <button type="button" onClick={config.reload}>
          Load again
        </button>
      </PageHead>
      <Section title="Effective configuration">
        <Show of={config}>{(text) => <Lines text={text} />}</Show>
      </Section>
    </>
  );
}
