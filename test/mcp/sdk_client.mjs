// SPDX-License-Identifier: Apache-2.0
// sdk_client - what the official TypeScript clients see of the servers behind the router; sdk_client.py is the Python one.
//
//   node sdk_client.mjs < job.json > seen.json
//
//   job   {library: "v1" | "v2" | "v2-modern", url | command: [...], env, servers: [name, ...]}
//   seen  {server: {feature: value or "failed: why"}}    what the values should be: test_mcp_sdk.py
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = process.env.NODE_MODULES || path.join(here, '../../build/node/node_modules');
const require = createRequire(path.join(modules, 'x.cjs'));
const load = async (name) => {
  const m = await import(pathToFileURL(require.resolve(name)).href);
  return { ...m.default, ...m };
};

const job = JSON.parse(readFileSync(0, 'utf8'));
const MODERN = job.library === 'v2-modern';
const DEADLINE = 30000;
const INFO = { name: 'peer', version: '1' };
const CAPABILITIES = { elicitation: { form: {} }, sampling: {}, roots: {} };
const ANSWERS = {
  'elicitation/create': () => ({ action: 'accept', content: { name: 'Ann' } }),
  'sampling/createMessage': (p) => ({
    role: 'assistant', model: 'mine', content: { type: 'text', text: `"${p.messages[0].content.text}", said my model` } }),
  'roots/list': () => ({ roots: [{ uri: 'file:///mine' }] }),
};
const heard = [];       // notifications, as [method, params]

async function until(what, condition) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not heard: ${what}`);
    await new Promise((go) => setTimeout(go, 10));
  }
}

const hears = (method, fits = () => true) => until(method, () => heard.some(([m, p]) => m === method && fits(p)));

// ---- the two libraries ----------------------------------------------------------------------------

async function connectV1() {
  const { Client } = await load('@modelcontextprotocol/sdk/client');
  const { StdioClientTransport } = await load('@modelcontextprotocol/sdk/client/stdio.js');
  const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const t = await load('@modelcontextprotocol/sdk/types.js');
  const client = new Client(INFO, { capabilities: CAPABILITIES });
  for (const schema of [t.ElicitRequestSchema, t.CreateMessageRequestSchema, t.ListRootsRequestSchema])
    client.setRequestHandler(schema, async (r) => ANSWERS[r.method](r.params));
  for (const schema of [t.ToolListChangedNotificationSchema, t.ResourceUpdatedNotificationSchema, t.LoggingMessageNotificationSchema])
    client.setNotificationHandler(schema, async (n) => heard.push([n.method, n.params]));
  await client.connect(job.url ? new StreamableHTTPClientTransport(new URL(job.url))
    : new StdioClientTransport({ command: job.command[0], args: job.command.slice(1), env: job.env }));
  return { client, call: (params, options) => client.callTool(params, undefined, options) };
}

async function connectV2() {
  const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
  const { StdioClientTransport } = await load('@modelcontextprotocol/client/stdio');
  const client = new Client(INFO, {
    capabilities: CAPABILITIES, versionNegotiation: { mode: MODERN ? { pin: '2026-07-28' } : 'legacy' } });
  for (const [method, answer] of Object.entries(ANSWERS))
    client.setRequestHandler(method, async (r) => answer(r.params));
  for (const method of ['notifications/tools/list_changed', 'notifications/resources/updated', 'notifications/message'])
    client.setNotificationHandler(method, async (n) => heard.push([n.method, n.params]));
  await client.connect(job.url ? new StreamableHTTPClientTransport(new URL(job.url))
    : new StdioClientTransport({ command: job.command[0], args: job.command.slice(1), env: job.env }));
  return { client, call: (params, options) => client.callTool(params, options) };
}

// ---- what is tried --------------------------------------------------------------------------------

const textOf = (r) => r.content.map((c) => c.text ?? `<${c.type} ${c.mimeType}>`).join('');

function features({ client, call }, server) {
  const run = async (name, args = {}, options = {}, meta = undefined) => textOf(await call(
    { name: `${server}__${name}`, arguments: args, ...(meta && { _meta: meta }) }, options));
  const names = async () => (await client.listTools()).tools.map((t) => t.name);
  return {
    tools: async () => (await names()).filter((n) => n === `${server}__add` || n === `${server}__slow`).length,
    structured: async () => {
      const r = await call({ name: `${server}__add`, arguments: { a: 2, b: 3 } });
      return r.structuredContent;
    },
    image: () => run('picture'),
    'tool error': async () => {
      const r = await call({ name: `${server}__fail`, arguments: {} });
      return [r.isError, textOf(r).includes('It failed.')];
    },
    'bad argument': async () => (await call({ name: `${server}__add`, arguments: { a: 'two', b: 3 } })).isError,
    'unknown tool': () => run('nothing').then(() => 'taken', () => 'refused'),
    progress: async () => {
      const steps = [];
      const text = await run('slow', {}, { onprogress: (p) => steps.push(p.progress) });
      return [text, ...steps];
    },
    cancel: async () => {
      const before = Number(await run('cancels'));
      const stop = new AbortController();
      const end = await run('hang', {}, { signal: stop.signal, onprogress: () => stop.abort('changed my mind') })
        .then(() => 'ended', () => 'cancelled');
      await until('the server was told', async () => Number(await run('cancels')) > before);
      return end;
    },
    logging: async () => {
      await run('log', {}, {}, MODERN ? { 'io.modelcontextprotocol/logLevel': 'info' } : undefined);
      await hears('notifications/message', (p) => p.data === 'from the server' || p.data?.msg === 'from the server');
      return 'heard';
    },
    elicitation: () => run('ask'),
    sampling: () => run('sample', { prompt: 'Ping' }),
    roots: () => run('roots'),
    resource: async () => (await client.readResource({ uri: `${server}://text` })).contents[0].text,
    'resources listed': async () => (await client.listResources()).resources.filter((r) => r.uri === `${server}://text`).length,
    template: async () => {
      const { resourceTemplates } = await client.listResourceTemplates();
      return [resourceTemplates.some((t) => t.uriTemplate === `${server}://item/{id}`),
              (await client.readResource({ uri: `${server}://item/7` })).contents[0].text];
    },
    prompt: async () => {
      const listed = (await client.listPrompts()).prompts.some((p) => p.name === `${server}__greet`);
      const { messages } = await client.getPrompt({ name: `${server}__greet`, arguments: { who: 'ann' } });
      return [listed, messages[0].content.text];
    },
    'completion of a prompt': async () => (await client.complete({
      ref: { type: 'ref/prompt', name: `${server}__greet` }, argument: { name: 'who', value: 'an' } })).completion.values,
    'completion of a template': async () => (await client.complete({
      ref: { type: 'ref/resource', uri: `${server}://item/{id}` }, argument: { name: 'id', value: '1' } })).completion.values,
    'list changed': async () => {
      heard.length = 0;
      const subscription = MODERN ? await client.listen({ toolsListChanged: true }) : null;
      const name = `${server}__${await run('grow')}`;
      await hears('notifications/tools/list_changed');
      await until(`${name} is listed`, async () => (await names()).includes(name));
      await subscription?.close();
      return 'heard';
    },
    'resource updated': async () => {
      heard.length = 0;
      const uri = `${server}://text`;
      const subscription = MODERN ? await client.listen({ resourceSubscriptions: [uri] }) : await client.subscribeResource({ uri });
      if (MODERN && !subscription.honoredFilter.resourceSubscriptions?.includes(uri)) {
        await subscription.close();
        return 'not offered';
      }
      await run('touch');
      await hears('notifications/resources/updated', (p) => p.uri === uri);
      await (MODERN ? subscription.close() : client.unsubscribeResource({ uri }));
      return 'heard';
    },
    task: () => run('later'),
  };
}

const connection = await (job.library === 'v1' ? connectV1() : connectV2());
const seen = {};
for (const server of job.servers) {
  seen[server] = {};
  for (const [feature, what] of Object.entries(features(connection, server))) {
    if (!(job.skip?.[server] ?? []).includes(feature))
      seen[server][feature] = await what().catch((e) => `failed: ${e.code ?? ''} ${e.message}`);
  }
}
await connection.client.close();
console.log(JSON.stringify(seen));
process.exit(0);
