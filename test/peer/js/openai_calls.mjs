// SPDX-License-Identifier: Apache-2.0
// openai_calls - the npm client's calls besides chat, towards each kind of provider; judged by test_openai_calls.py.
//
//   node openai_calls.mjs http://127.0.0.1:8484 > results.json
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = process.env.NODE_MODULES || path.join(here, '../../../build/node/node_modules');
const require = createRequire(path.join(modules, 'x.cjs'));
const module = await import(pathToFileURL(require.resolve('openai')).href);
const OpenAI = module.default?.default ?? module.default;
const client = new OpenAI({ baseURL: process.argv[2] + '/v1', apiKey: 'none', maxRetries: 0, timeout: 30000 });

const tool = {
  type: 'function', name: 'get_weather', strict: false,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

async function events(ask) {
  let text = '', last;
  for await (const event of await client.responses.create({ ...ask, stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event;
  }
  return [text, last.response.status];
}

async function helper(ask) {
  const stream = client.responses.stream(ask);
  for await (const event of stream);
  return stream.finalResponse();
}

async function tryAll(kind) {
  const r = {}, ask = { model: kind + '/demo', input: 'Hi' };
  const whole = await client.responses.create(ask);
  r.whole = [whole.output_text, whole.status];
  r.streamed = await events(ask);
  const helped = await helper(ask);
  r.helper = [helped.output_text, helped.status];

  const calling = {
    model: kind + '/demo+call=2+call_text=before+call_fragments=3', tools: [tool],
    input: [{ role: 'user', content: 'Weather?' }],
  };
  const called = await helper(calling);
  r.calls = called.output.map((item) => item.type);
  const results = called.output.filter((item) => item.type === 'function_call')
    .map((item) => ({ type: 'function_call_output', call_id: item.call_id, output: '18 C' }));
  r.result = (await client.responses.create({ ...calling, input: [...calling.input, ...called.output, ...results] }))
    .output_text;
  r.reasoning = (await helper({ ...ask, model: kind + '/demo+reasoning=2', reasoning: { effort: 'low' } }))
    .output.map((item) => item.type);

  const prompt = { model: kind + '/demo', prompt: 'Hi' };
  r.completion = (await client.completions.create(prompt)).choices[0].text;
  r.completion_streamed = '';
  for await (const x of await client.completions.create({ ...prompt, stream: true })) {
    r.completion_streamed += x.choices[0].text;
  }
  try {
    await events({ ...ask, model: kind + '/demo+cut=3' });
    r.cut = 'no error';
  } catch (error) {
    r.cut = error.constructor.name;
  }
  if (kind === 'anthropic') return r;
  const texts = { model: kind + '/demo-embed', input: ['a', 'bb'] };
  r.base64 = (await client.embeddings.create(texts)).data[1].embedding;
  r.float = (await client.embeddings.create({ ...texts, encoding_format: 'float' })).data[1].embedding;
  return r;
}

const told = {};
for (const kind of ['openai', 'anthropic', 'ollama']) told[kind] = await tryAll(kind);
console.log(JSON.stringify(told));
