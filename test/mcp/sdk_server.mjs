// SPDX-License-Identifier: Apache-2.0
// sdk_server - one and the same small server, written with each official TypeScript library; sdk_server.py is the Python one.
// What it offers is what sdk_client.mjs and sdk_client.py ask for.
//
//   node sdk_server.mjs v1|v2|v2-strict stdio NAME    v1: @modelcontextprotocol/sdk, 2025-11-25. v2: @modelcontextprotocol/server,
//   node sdk_server.mjs v1|v2|v2-strict http NAME     2026-07-28 and older; strict: 2026-07-28 alone. http: its port is printed first
//
//   tools      add {a, b}, picture, fail, slow (progress), hang (until cancelled), cancels (how many were), log, ask (a form),
//              sample {prompt} (a model), roots, grow (one tool more), touch (NAME://text changes), later (a task; v1 only)
//   resources  NAME://text, NAME://item/{id}        prompts  greet {who}, with completion
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { fileURLToPath, pathToFileURL } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = process.env.NODE_MODULES || path.join(here, '../../build/node/node_modules');
const require = createRequire(path.join(modules, 'x.cjs'));
const load = async (name) => {
  const m = await import(pathToFileURL(require.resolve(name)).href);
  return { ...m.default, ...m };
};

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const NAMES = ['ann', 'anna', 'bob'];
const text = (words, more) => ({ content: [{ type: 'text', text: words }], ...more });
const pause = (ms) => new Promise((go) => setTimeout(go, ms));
const FORM = { message: 'Your name?', requestedSchema: {
  type: 'object', properties: { name: { type: 'string' } }, required: ['name'] } };
const QUESTION = (prompt) => ({ messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens: 50 });

const [, , version, transport, SCHEME] = process.argv;
let cancels = 0;
let grown = 0;

const said = (content) => [content].flat().map((c) => c.text ?? '').join('');
const greeted = (answer) => text(answer?.action === 'accept' ? `Hello ${answer.content.name}` : `No name: ${answer?.action}`);

// What both libraries have in common: how a call sees its client is handed in as `of`.
function common(server, z, of, completable, changed) {
  const shape = (s) => (of.shape ? s : z.object(s));
  const tool = (name, config, run) => server.registerTool(name, { description: `For tests: ${name}`, ...config }, run);
  tool('add', { inputSchema: shape({ a: z.number(), b: z.number() }), outputSchema: shape({ sum: z.number() }),
                annotations: { readOnlyHint: true } },
       async ({ a, b }) => text(String(a + b), { structuredContent: { sum: a + b } }));
  tool('picture', {}, async () => ({ content: [{ type: 'image', data: PIXEL, mimeType: 'image/png' }] }));
  tool('fail', {}, async () => text('It failed.', { isError: true }));
  tool('slow', {}, async (ctx) => {
    for (let i = 1; i <= 3; i++) {
      await of.progress(ctx, { progress: i, total: 3, message: `step ${i}` });
      await pause(40);       // the router hands on so many in a second, not more
    }
    return text('done');
  });
  tool('hang', {}, async (ctx) => {
    await of.progress(ctx, { progress: 1, message: 'it hangs now' });
    await new Promise((go) => of.signal(ctx).addEventListener('abort', go));
    cancels++;
    return text('too late');
  });
  tool('cancels', {}, async () => text(String(cancels)));
  tool('log', {}, async (ctx) => {
    await of.log(ctx, 'from the server');
    return text('logged');
  });
  tool('ask', {}, async (ctx) => {
    const answer = await of.ask(ctx, 'name', 'elicitation/create', { mode: 'form', ...FORM });
    return answer.resultType ? answer : greeted(answer);
  });
  tool('sample', { inputSchema: shape({ prompt: z.string() }) }, async ({ prompt }, ctx) => {
    const answer = await of.ask(ctx, 'answer', 'sampling/createMessage', QUESTION(prompt));
    return answer.resultType ? answer : text(`It said: ${said(answer.content)}`);
  });
  tool('roots', {}, async (ctx) => {
    const answer = await of.ask(ctx, 'roots', 'roots/list', {});
    return answer.resultType ? answer : text(answer.roots.map((r) => r.uri).join(' '));
  });
  tool('grow', {}, async () => {
    grown++;
    changed.tools(server);
    return text(`grown_${grown}`);
  });
  tool('touch', {}, async () => {
    changed.resource(server, `${SCHEME}://text`);
    return text('touched');
  });
  for (let i = 1; i <= grown; i++)
    tool(`grown_${i}`, {}, async () => text('grown'));
  server.registerResource('text', `${SCHEME}://text`, { mimeType: 'text/plain', description: 'For tests' },
                          async (uri) => ({ contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'A text.' }] }));
  server.registerPrompt('greet', { description: 'For tests', argsSchema: shape({
    who: completable(z.string(), (v) => NAMES.filter((n) => n.startsWith(v))) }) },
  async ({ who }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Greet ${who}.` } }] }));
}

const item = (uri, { id }) => ({ contents: [{ uri: uri.href, mimeType: 'text/plain', text: `Item ${id}.` }] });

// ---- version 1 ------------------------------------------------------------------------------------

async function v1() {
  const { McpServer, ResourceTemplate } = await load('@modelcontextprotocol/sdk/server/mcp.js');
  const { completable } = await load('@modelcontextprotocol/sdk/server/completable.js');
  const { StdioServerTransport } = await load('@modelcontextprotocol/sdk/server/stdio.js');
  const { StreamableHTTPServerTransport } = await load('@modelcontextprotocol/sdk/server/streamableHttp.js');
  const { InMemoryTaskStore, InMemoryTaskMessageQueue } = await load('@modelcontextprotocol/sdk/experimental/tasks');
  const types = await load('@modelcontextprotocol/sdk/types.js');
  const z = await load('zod');
  const all = new Set();
  const answers = { 'elicitation/create': types.ElicitResultSchema, 'sampling/createMessage': types.CreateMessageResultSchema,
                    'roots/list': types.ListRootsResultSchema };
  const of = {
    shape: true,
    progress: (x, p) => x._meta?.progressToken !== undefined && x.sendNotification({
      method: 'notifications/progress', params: { progressToken: x._meta.progressToken, ...p } }),
    signal: (x) => x.signal,
    log: (x, data) => x.sendNotification({ method: 'notifications/message', params: { level: 'warning', logger: 'peer', data } }),
    ask: (x, key, method, params) => x.sendRequest({ method, params }, answers[method]),
  };
  const changed = {
    tools: () => all.forEach((s) => s.registerTool(`grown_${grown}`, { description: 'Came later.' }, async () => text('grown'))),
    resource: (s, uri) => s.heard.has(uri) && s.server.sendResourceUpdated({ uri }),
  };
  const make = () => {
    const taskStore = new InMemoryTaskStore();
    const server = new McpServer({ name: 'peer-v1', version: '1' }, { taskStore, taskMessageQueue: new InMemoryTaskMessageQueue(), capabilities: {
      logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: { listChanged: true },
      completions: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } } });
    server.heard = new Set();
    common(server, z, of, completable, changed);
    server.registerResource('item', new ResourceTemplate(`${SCHEME}://item/{id}`, { list: undefined, complete: {
      id: (v) => ['1', '12', '2'].filter((n) => n.startsWith(v)) } }), {}, async (uri, v) => item(uri, v));
    server.server.setRequestHandler(types.SubscribeRequestSchema, async (r) => (server.heard.add(r.params.uri), {}));
    server.server.setRequestHandler(types.UnsubscribeRequestSchema, async (r) => (server.heard.delete(r.params.uri), {}));
    server.experimental.tasks.registerToolTask('later', { description: 'Takes a while.', execution: { taskSupport: 'required' } }, {
      createTask: async (x) => {
        const task = await x.taskStore.createTask({ ttl: 60000, pollInterval: 20 });
        setTimeout(() => x.taskStore.storeTaskResult(task.taskId, 'completed', text('It is later now.')), 60);
        return { task };
      },
      getTask: (x) => x.taskStore.getTask(x.taskId),
      getTaskResult: (x) => x.taskStore.getTaskResult(x.taskId),
    });
    all.add(server);
    server.server.onclose = () => all.delete(server);
    return server;
  };
  const sessions = new Map();
  return {
    stdio: () => make().connect(new StdioServerTransport()),
    http: async (q, r) => {
      let transport = sessions.get(q.headers['mcp-session-id']);
      if (!transport) {
        transport = new StreamableHTTPServerTransport({
          sessionIdGenerator: () => randomUUID(), onsessioninitialized: (id) => sessions.set(id, transport) });
        await make().connect(transport);
      }
      await transport.handleRequest(q, r);
    },
  };
}

// ---- version 2 ------------------------------------------------------------------------------------

async function v2(strict) {
  const { McpServer, ResourceTemplate, completable, createMcpHandler, inputRequired } = await load('@modelcontextprotocol/server');
  const { serveStdio } = await load('@modelcontextprotocol/server/stdio');
  const { toNodeHandler } = await load('@modelcontextprotocol/node');
  const z = await load('zod');
  const VERSION = 'io.modelcontextprotocol/protocolVersion';
  let handler = null;       // of HTTP, whose servers live for one request each
  const of = {
    progress: (x, p) => x.mcpReq._meta?.progressToken !== undefined && x.mcpReq.notify({
      method: 'notifications/progress', params: { progressToken: x.mcpReq._meta.progressToken, ...p } }),
    signal: (x) => x.mcpReq.signal,
    log: (x, data) => x.mcpReq.log('warning', data, 'peer'),
    ask: (x, key, method, params) => {
      if (x.mcpReq.envelope?.[VERSION] === undefined)
        return x.mcpReq.send({ method, params });
      return x.mcpReq.inputResponses?.[key] ?? inputRequired({ inputRequests: { [key]: { method, params } }, requestState: `asked ${key}` });
    },
  };
  const changed = {
    tools: (s) => (handler ? handler.notify.toolsChanged()
      : s.registerTool(`grown_${grown}`, { description: 'Came later.' }, async () => text('grown'))),
    resource: (s, uri) => (handler ? handler.notify.resourceUpdated(uri) : s.server.sendResourceUpdated({ uri })),
  };
  const make = () => {
    const server = new McpServer({ name: 'peer-v2', version: '1' }, { capabilities: {
      logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true },
      prompts: { listChanged: true }, completions: {} } });
    common(server, z, of, completable, changed);
    server.registerResource('item', new ResourceTemplate(`${SCHEME}://item/{id}`, { list: undefined, complete: {
      id: (v) => ['1', '12', '2'].filter((n) => n.startsWith(v)) } }), {}, async (uri, v) => item(uri, v));
    if (!handler) {
      server.server.setRequestHandler('resources/subscribe', async () => ({}));
      server.server.setRequestHandler('resources/unsubscribe', async () => ({}));
    }
    return server;
  };
  const legacy = strict ? 'reject' : 'serve';
  return {
    stdio: () => serveStdio(make, { legacy }),
    http: (q, r) => {
      handler ??= createMcpHandler(make, strict ? { legacy } : {});
      return toNodeHandler(handler)(q, r);
    },
  };
}

const peer = version === 'v1' ? await v1() : await v2(version === 'v2-strict');
if (transport === 'stdio') {
  await peer.stdio();
} else {
  const server = createServer((q, r) => {
    Promise.resolve(peer.http(q, r)).catch((e) => {
      console.error(e);
      r.destroy();
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}
