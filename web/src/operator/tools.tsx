// SPDX-License-Identifier: Apache-2.0
// tools - the MCP servers, how each is, and what may be done with each of their tools.
import type { JSX } from "preact";
import { get } from "../shared/api.ts";
import { plural } from "../shared/format.ts";
import { useLoad } from "../shared/hooks.ts";
import { Show, Zone } from "../shared/ui.tsx";
import { Chip, Json, PageHead, Section, Table } from "./parts.tsx";
import type { Server, Tool } from "./types.ts";

const TONES: Readonly<Record<string, "good" | "warn" | "bad" | "">> = { ready: "good", starting: "warn", down: "bad", disabled: "" };

function ToolTable({ server }: { server: Server }): JSX.Element {
  return (
    <Table
      caption={`Tools of ${server.name}`}
      rows={server.tools}
      keyOf={(tool) => tool.name}
      empty={server.state === "ready" ? "It offers no tools." : "Its tools are not known while it is not ready."}
      columns={[
        {
          head: "Tool",
          cell: (tool: Tool) => (
            <>
              <code>{tool.name}</code>
              {tool.title !== null && tool.title !== "" && <span class="aside">{tool.title}</span>}
            </>
          ),
        },
        { head: "Does", cell: (tool) => tool.effect },
        { head: "Data", cell: (tool) => tool.data },
        { head: "Approval", cell: (tool) => tool.approval },
        { head: "Offered", cell: (tool) => (tool.refused === null ? <Chip tone="good">yes</Chip> : <Chip tone="bad">no: {tool.refused}</Chip>) },
        {
          head: "Description",
          cell: (tool) => (
            <details>
              <summary>{(tool.description ?? "").split("\n")[0]?.slice(0, 90) || "Arguments"}</summary>
              <p class="words">{tool.description}</p>
              <Json value={tool.schema} label={`Arguments of ${tool.name}`} />
            </details>
          ),
        },
      ]}
    />
  );
}

function ServerSection({ server }: { server: Server }): JSX.Element {
  const about = [server.transport, server.title, server.version, server.revision === null || server.revision === "" ? null : `protocol ${server.revision}`];
  return (
    <Section
      title={server.name}
      actions={
        <span class="chips">
          <Chip tone={TONES[server.state] ?? ""}>{server.state}</Chip>
          <Zone zone={server.zone} />
        </span>
      }
    >
      <p class="help">
        {about.filter((part) => part !== null && part !== "").join(", ")}
        {server.restarts > 0 && `; started again ${plural(server.restarts, "time")}`}
      </p>
      {server.why !== null && <p class="notice bad">{server.why}</p>}
      <ToolTable server={server} />
    </Section>
  );
}

export function ToolsPage(): JSX.Element {
  const servers = useLoad((signal) => get<{ servers: Server[] }>("/router/servers", signal), []);
  return (
    <>
      <PageHead title="Tools" intro="MCP servers and their tools. Titles and descriptions are the servers' own words.">
        <button type="button" onClick={servers.reload}>
          Load again
        </button>
      </PageHead>
      <Show of={servers}>
        {(value) =>
          value.servers.length === 0 ? (
            <p class="empty">
              No MCP servers are configured. Name one under <code>mcp_servers:</code>, or take over another program's with <code>llm-router mcp import</code>.
            </p>
          ) : (
            <>
              {value.servers.map((server) => (
                <ServerSection server={server} key={server.name} />
              ))}
            </>
          )
        }
      </Show>
    </>
  );
}
