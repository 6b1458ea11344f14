// SPDX-License-Identifier: Apache-2.0
// clients - the official npm clients behind one call; see clients.py, whose jobs and results these are. A job
// with a feature goes to features.mjs.
//
//   node clients.mjs < jobs.json > results.json
//
// Modules are looked for in NODE_MODULES, else in build/node/node_modules: an ES module's own
// imports know no search path.
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import path from 'node:path';
import { runFeature } from './features.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = process.env.NODE_MODULES || path.join(here, '../../../build/node/node_modules');
const require = createRequire(path.join(modules, 'x.cjs'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const pick = (m) => m.default?.default ?? m.default;

const newResult = () => ({
  text: '', reasoning: '', finish: null, usage: null, model: null, id: null, pieces: 0, error: null,
});

const runOpenai = (name) => async (job, r) => {
  const OpenAI = pick(await load(name));
  const client = new OpenAI({ baseURL: job.url + '/v1', apiKey: job.key ?? 'none', maxRetries: 0, timeout: 30000 });
  if (job.list) {
    r.models = (await client.models.list()).data.map((m) => m.id);
    return;
  }
  const messages = [{ role: 'user', content: job.prompt ?? 'Hi' }];
  if (job.system) messages.unshift({ role: 'system', content: job.system });
  const ask = { model: job.model, messages, ...job.options };
  if (job.max_tokens) ask.max_tokens = job.max_tokens;
  if (job.stop) ask.stop = job.stop;
  if (!job.stream) {
    const x = await client.chat.completions.create(ask);
    Object.assign(r, {
      text: x.choices[0].message.content, reasoning: x.choices[0].message.reasoning_content ?? '',
      finish: x.choices[0].finish_reason, model: x.model, id: x.id, pieces: 1,
      usage: [x.usage.prompt_tokens, x.usage.completion_tokens],
    });
    return;
  }
  const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
  for await (const x of stream) {
    r.model = x.model;
    r.id = x.id;
    if (x.usage) r.usage = [x.usage.prompt_tokens, x.usage.completion_tokens];
    for (const choice of x.choices) {
      r.text += choice.delta.content ?? '';
      r.reasoning += choice.delta.reasoning_content ?? '';
      if (choice.delta.content) r.pieces++;
      r.finish = choice.finish_reason ?? r.finish;
    }
    if (job.leave && r.pieces >= job.leave) return;
  }
};

const runAnthropic = (name) => async (job, r) => {
  const Anthropic = pick(await load(name));
  const client = new Anthropic({ baseURL: job.url, apiKey: job.key ?? 'none', maxRetries: 0, timeout: 30000 });
  if (job.list) {
    r.models = (await client.models.list()).data.map((m) => m.id);
    return;
  }
  const ask = {
    model: job.model, max_tokens: job.max_tokens ?? 64,
    messages: [{ role: 'user', content: job.prompt ?? 'Hi' }], ...job.options,
  };
  if (job.system) ask.system = job.system;
  if (job.stop) ask.stop_sequences = job.stop;
  const fill = (x) => Object.assign(r, {
    text: x.content.filter((b) => b.type === 'text').map((b) => b.text).join(''),
    reasoning: x.content.filter((b) => b.type === 'thinking').map((b) => b.thinking).join(''),
    finish: x.stop_reason, model: x.model, id: x.id,
    usage: [x.usage.input_tokens + (x.usage.cache_read_input_tokens ?? 0) + (x.usage.cache_creation_input_tokens ?? 0),
      x.usage.output_tokens],
  });
  if (!job.stream) {
    fill(await client.messages.create(ask));
    r.pieces = 1;
    return;
  }
  const stream = client.messages.stream(ask);
  for await (const event of stream) {
    if (event.type === 'message_start') {
      r.model = event.message.model;
      r.id = event.message.id;
    } else if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') {
      r.text += event.delta.text;
      r.pieces++;
      if (job.leave && r.pieces >= job.leave) return;
    }
  }
  const said = r.text;
  fill(await stream.finalMessage());
  if (said !== r.text) throw new Error('the events and the final message disagree');
};

async function manage(client, [call, model]) {
  if (call !== 'pull') return client[call]({ model });
  const parts = [];
  for await (const part of await client.pull({ model, stream: true })) parts.push(part);
  return parts;
}

async function runOllama(job, r) {
  const { Ollama } = await load('ollama');
  const client = new Ollama({ host: job.url, headers: { Authorization: 'Bearer ' + (job.key ?? 'none') } });
  if (job.list) {
    r.models = (await client.list()).models.map((m) => m.name);
    return;
  }
  if (job.manage) {
    r.managed = await manage(client, job.manage);
    return;
  }
  const messages = [{ role: 'user', content: job.prompt ?? 'Hi' }];
  if (job.system) messages.unshift({ role: 'system', content: job.system });
  const options = { ...job.options };
  if (job.max_tokens) options.num_predict = job.max_tokens;
  if (job.stop) options.stop = job.stop;
  const take = (x) => {
    r.text += x.message.content;
    r.reasoning += x.message.thinking ?? '';
    if (x.message.content) r.pieces++;
    r.model = x.model;
    if (x.done) Object.assign(r, { finish: x.done_reason, usage: [x.prompt_eval_count, x.eval_count] });
  };
  if (!job.stream) {
    take(await client.chat({ model: job.model, messages, options }));
    return;
  }
  const stream = await client.chat({ model: job.model, messages, options, stream: true });
  for await (const x of stream) {
    take(x);
    if (job.leave && r.pieces >= job.leave) {
      stream.abort();
      return;
    }
  }
}

const run = {
  'js-openai': runOpenai('openai'),
  'js-openai-6': runOpenai('openai-6'),
  'js-anthropic': runAnthropic('@anthropic-ai/sdk'),
  'js-anthropic-0': runAnthropic('anthropic-sdk-0'),
  'js-ollama': runOllama,
};

let input = '';
for await (const piece of process.stdin) input += piece;
const jobs = JSON.parse(input);
const results = [];
let next = 0;

async function work() {
  while (next < jobs.length) {
    const at = next++;
    if (jobs[at].feature) {
      results[at] = await runFeature(load, jobs[at]);
      continue;
    }
    const r = newResult();
    try {
      await run[jobs[at].client](jobs[at], r);
    } catch (e) {
      r.error = {
        class: e.constructor?.name, status: e.status ?? e.status_code ?? null,
        retry_after: e.headers?.get?.('retry-after') ?? null, message: String(e.message),
      };
    }
    results[at] = r;
  }
}

await Promise.all(Array.from({ length: 8 }, work)); // some jobs only wait
process.stdout.write(JSON.stringify(results), () => process.exit(0));
