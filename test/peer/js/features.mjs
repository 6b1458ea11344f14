// SPDX-License-Identifier: Apache-2.0
// features - what each official npm client, and each agent framework, can express in its own way; features.py is the
// same for Python and tells what a run is. The schema helpers are zod's, as the manuals show them.
//
//   runFeature(load, job) -> {runs, error}      load(name) imports a package from where they are installed
import assert from 'node:assert';

const asRun = (text, more) => ({ text: text ?? '', reasoning: '', calls: [], finish: null, ...more });

async function caught(call) {
  try {
    return await call();
  } catch (e) {
    return asRun('', { error: { class: e.constructor?.name, status: e.status ?? e.status_code ?? null, message: String(e.message) } });
  }
}

const USER = (content) => [{ role: 'user', content }];
const pick = (m) => m.default?.default ?? m.default;

// ---- openai ---------------------------------------------------------------------------------------

function openaiRun(x, more) {
  const m = x.choices[0].message;
  assert(m.content !== null || m.tool_calls?.length, 'an answer without calls has content');
  return asRun(m.content, {
    calls: (m.tool_calls ?? []).map((c) => [c.id, c.function.name, c.function.arguments]),
    finish: x.choices[0].finish_reason, id: x.id, reasoning: m.reasoning_content ?? '',
    usage: [x.usage.prompt_tokens, x.usage.completion_tokens], ...more,
  });
}

const openai = (name) => async (load, job) => {
  const client = new (pick(await load(name)))({ baseURL: job.url + '/v1', apiKey: 'none', maxRetries: 0, timeout: 30000 });
  const { zodResponseFormat, zodTextFormat } = await load(name + '/helpers/zod');
  const z = await load('zod');
  const { model, samples } = job;
  const Answer = z.object({ name: z.string(), count: z.number().int() });
  const tools = samples.tools.map((t) => ({
    type: 'function', function: { name: t.name, description: t.description, parameters: t.schema } }));
  const whole = async (ask) => openaiRun(await client.chat.completions.create({ model, messages: USER('Hi'), ...ask }));
  const streamed = async (ask) => {
    const stream = client.chat.completions.stream({
      model, messages: USER('Hi'), stream_options: { include_usage: true }, ...ask });
    let text = '';
    let reasoning = '';
    for await (const chunk of stream) {
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? '';
        reasoning += choice.delta.reasoning_content ?? '';
      }
    }
    const run = openaiRun(await stream.finalChatCompletion());
    assert.equal(run.text, text, 'the pieces and the whole disagree');
    return { ...run, reasoning };
  };
  const both = async (ask) => [await whole(ask), await streamed(ask)];
  const ofResponse = (x, more) => asRun(x.output_text, {
    finish: x.status, id: x.id, usage: [x.usage.input_tokens, x.usage.output_tokens], ...more });

  return {
    text: () => both({ max_completion_tokens: 99, messages: [{ role: 'developer', content: 'Be brief.' }, ...USER('Hi')] }),
    tools: () => both({ tools, parallel_tool_calls: true }),
    'tool loop': async () => {
      const runnable = samples.tools.map((t) => ({
        type: 'function', function: {
          name: t.name, description: t.description, parameters: t.schema, parse: JSON.parse,
          function: () => samples.results[t.name] } }));
      const runs = [];
      for (const stream of [false, true]) {
        const runner = client.chat.completions.runTools({ model, messages: USER('Weather?'), tools: runnable, stream });
        runs.push(asRun(await runner.finalContent()));
      }
      return runs;
    },
    'tool choice': async () => [
      await whole({ tools, tool_choice: 'required' }),
      await whole({ tools, tool_choice: { type: 'function', function: { name: samples.tools[1].name } } }),
      await whole({ tools, tool_choice: 'none' }),
    ],
    json: async () => {
      const response_format = zodResponseFormat(Answer, 'answer');
      const x = await client.chat.completions.parse({ model, messages: USER('Hi'), response_format });
      const stream = client.chat.completions.stream({
        model, messages: USER('Hi'), response_format, stream_options: { include_usage: true } });
      const y = await stream.finalChatCompletion();
      return [x, y].map((one) => openaiRun(one, { parsed: one.choices[0].message.parsed }));
    },
    images: () => both({ messages: USER([
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,' + samples.png, detail: 'low' } }]) }),
    documents: async () => [await caught(() => whole({ messages: USER([
      { type: 'text', text: 'Read.' },
      { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,' + samples.pdf } }]) }))],
    thinking: () => both({ reasoning_effort: 'high' }),
    embeddings: async () => {
      const runs = [];
      for (const more of [{}, { encoding_format: 'float' }]) {
        const x = await client.embeddings.create({ model, input: ['one', 'two'], ...more });
        runs.push(asRun('', { vectors: x.data.map((d) => Array.from(d.embedding)) }));
      }
      return runs;
    },
    completions: async () => {
      const x = await client.completions.create({ model, prompt: 'Hi', max_tokens: 50 });
      const run = asRun();
      for await (const part of await client.completions.create({ model, prompt: 'Hi', max_tokens: 50, stream: true })) {
        for (const choice of part.choices) {
          run.text += choice.text;
          run.finish = choice.finish_reason ?? run.finish;
        }
      }
      return [asRun(x.choices[0].text, { finish: x.choices[0].finish_reason }), run];
    },
    responses: async () => {
      const create = (ask) => client.responses.create({ model, ...ask });
      const runs = [ofResponse(await create({ instructions: 'Be brief.', input: 'Hi' }))];
      const stream = client.responses.stream({ model, input: 'Hi' });
      const numbers = [];
      for await (const event of stream) numbers.push(event.sequence_number);
      assert.deepEqual(numbers, numbers.map((_, i) => i));
      runs.push(ofResponse(await stream.finalResponse()));
      const flat = samples.tools.map((t) => ({
        type: 'function', name: t.name, description: t.description, parameters: t.schema, strict: false }));
      const input = USER('Weather?');
      const called = await create({ model: model + samples.call, input, tools: flat });
      input.push(...called.output);
      for (const item of called.output) {
        if (item.type === 'function_call')
          input.push({ type: 'function_call_output', call_id: item.call_id, output: samples.results[item.name] });
      }
      runs.push(ofResponse(await create({ model: model + samples.call, input, tools: flat })));
      const parsed = await client.responses.parse({ model, input: 'Hi', text: { format: zodTextFormat(Answer, 'answer') } });
      runs.push(ofResponse(parsed, { parsed: parsed.output_parsed }));
      runs.push(await caught(async () => ofResponse(
        await create({ input: 'Go on', previous_response_id: 'resp_that_nobody_knows' }))));
      return runs;
    },
    models: async () => {
      const listed = [];
      for await (const m of client.models.list()) listed.push(m.id);
      return [asRun('', { listed, one: (await client.models.retrieve(model)).id }),
        await caught(async () => asRun('', { one: (await client.models.retrieve('nobody/knows-it')).id }))];
    },
  };
};

// ---- anthropic ------------------------------------------------------------------------------------

function anthropicRun(x, more) {
  const of = (type) => x.content.filter((b) => b.type === type);
  return asRun(of('text').map((b) => b.text).join(''), {
    finish: x.stop_reason, id: x.id, calls: of('tool_use').map((b) => [b.id, b.name, JSON.stringify(b.input)]),
    reasoning: of('thinking').map((b) => b.thinking).join(''), usage: [x.usage.input_tokens, x.usage.output_tokens], ...more,
  });
}

const anthropic = (name) => async (load, job) => {
  const client = new (pick(await load(name)))({ baseURL: job.url, apiKey: 'none', maxRetries: 0, timeout: 30000 });
  const { zodOutputFormat } = await load(name + '/helpers/zod');
  const { betaZodTool } = await load(name + '/helpers/beta/zod');
  const z = await load('zod');
  const { model, samples } = job;
  const Answer = z.object({ name: z.string(), count: z.number().int() });
  const system = [{ type: 'text', text: 'You are a careful assistant.' },
    { type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }];
  const tools = samples.tools.map((t) => ({ name: t.name, description: t.description, input_schema: t.schema }));
  const fill = (ask) => ({ model, max_tokens: 4096, messages: USER('Hi'), ...ask });
  const whole = async (ask) => anthropicRun(await client.messages.create(fill(ask)));
  const streamed = async (ask) => {
    const stream = client.messages.stream(fill(ask));
    let text = '';
    stream.on('text', (piece) => { text += piece; });
    const run = anthropicRun(await stream.finalMessage());
    assert.equal(run.text, text, 'the pieces and the whole disagree');
    return run;
  };
  const both = async (ask) => [await whole(ask), await streamed(ask)];

  return {
    text: () => both({ system, metadata: { user_id: 'someone' },
      messages: USER([{ type: 'text', text: 'Hi', cache_control: { type: 'ephemeral' } }]) }),
    tools: () => both({ tools: tools.map((t, i) => (i ? { ...t, cache_control: { type: 'ephemeral' } } : t)) }),
    'tool loop': async () => {
      const schemas = [z.object({ city: z.string() }), z.object({})];
      const runnable = samples.tools.map((t, i) => betaZodTool({
        name: t.name, description: t.description, inputSchema: schemas[i], run: () => samples.results[t.name] }));
      const runs = [];
      for (const stream of [false, true]) {
        const runner = client.beta.messages.toolRunner(fill({ tools: runnable, stream }));
        let last;
        for await (const turn of runner) last = stream ? await turn.finalMessage() : turn;
        runs.push(anthropicRun(last));
      }
      return runs;
    },
    'tool choice': async () => [
      await whole({ tools, tool_choice: { type: 'any', disable_parallel_tool_use: true } }),
      await whole({ tools, tool_choice: { type: 'tool', name: samples.tools[1].name } }),
      await whole({ tools, tool_choice: { type: 'none' } }),
    ],
    json: async () => {
      const output_config = { format: zodOutputFormat(Answer) };
      const x = await client.messages.parse(fill({ output_config }));
      const y = await client.messages.stream(fill({ output_config })).finalMessage();
      return [anthropicRun(x, { parsed: x.parsed_output }), anthropicRun(y, { parsed: y.parsed_output })];
    },
    images: () => both({ messages: USER([
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: samples.png } },
      { type: 'text', text: 'What is this?' }]) }),
    documents: async () => {
      const asked = (source) => whole({ messages: USER([
        { type: 'document', title: 'A page', source }, { type: 'text', text: 'Read.' }]) });
      return [await caught(() => asked({ type: 'base64', media_type: 'application/pdf', data: samples.pdf })),
        await asked({ type: 'text', media_type: 'text/plain', data: samples.page })];
    },
    thinking: async () => {
      const thinking = { type: 'enabled', budget_tokens: 2048 };
      const runs = await both({ thinking });
      const first = await client.messages.create(fill({ thinking }));
      runs.push(await whole({ thinking, messages: [
        ...USER('Hi'), { role: 'assistant', content: first.content }, ...USER('And?')] }));
      return runs;
    },
    'count tokens': async () => {
      const x = await client.messages.countTokens({ model, messages: USER('Hi '.repeat(50)), system, tools });
      return [asRun('', { tokens: x.input_tokens })];
    },
    models: async () => {
      const listed = [];
      for await (const m of client.models.list({ limit: 2 })) listed.push(m.id);
      return [asRun('', { listed, one: (await client.models.retrieve(model)).id }),
        await caught(async () => asRun('', { one: (await client.models.retrieve('nobody/knows-it')).id }))];
    },
  };
};

// ---- ollama ---------------------------------------------------------------------------------------

async function ollama(load, job) {
  const { Ollama } = await load('ollama');
  const client = new Ollama({ host: job.url });
  const z = await load('zod');
  const { model, samples } = job;
  const tools = samples.tools.map((t) => ({
    type: 'function', function: { name: t.name, description: t.description, parameters: t.schema } }));
  const chat = async (stream, ask) => {
    const x = await client.chat({ model, stream, messages: USER('Hi'), ...ask });
    const run = asRun();
    let done = false;
    for await (const part of stream ? x : [x]) {
      run.text += part.message.content;
      run.reasoning += part.message.thinking ?? '';
      for (const c of part.message.tool_calls ?? [])
        run.calls.push([null, c.function.name, JSON.stringify(c.function.arguments)]);
      if (part.done) {
        done = true;
        Object.assign(run, { finish: part.done_reason, usage: [part.prompt_eval_count, part.eval_count] });
      }
    }
    assert(done, 'no last line');
    return run;
  };
  const both = async (ask) => [await chat(false, ask), await chat(true, ask)];

  return {
    text: () => both({ messages: [{ role: 'system', content: 'Be brief.' }, ...USER('Hi')], options: { num_predict: 99 } }),
    tools: () => both({ tools }),
    'tool loop': async () => {
      const runs = [];
      for (const stream of [false, true]) {
        const messages = USER('Weather?');
        const first = await chat(stream, { messages, tools });
        messages.push({ role: 'assistant', content: first.text, tool_calls: first.calls.map(
          ([, name, text]) => ({ function: { name, arguments: JSON.parse(text) } })) });
        for (const [, name] of first.calls)
          messages.push({ role: 'tool', tool_name: name, content: samples.results[name] });
        runs.push(await chat(stream, { messages, tools }));
      }
      return runs;
    },
    json: async () => {
      const Answer = z.object({ name: z.string(), count: z.number().int() });
      const runs = await both({ format: z.toJSONSchema(Answer) });
      return runs.map((run) => ({ ...run, parsed: Answer.parse(JSON.parse(run.text)) }));
    },
    images: () => both({ messages: [{ role: 'user', content: 'What is this?', images: [samples.png] }] }),
    thinking: () => both({ think: true }),
    embeddings: async () => {
      const many = await client.embed({ model, input: ['one', 'two'] });
      const old = [];
      for (const prompt of ['one', 'two']) old.push((await client.embeddings({ model, prompt })).embedding);
      return [asRun('', { vectors: many.embeddings }), asRun('', { vectors: old })];
    },
    completions: async () => {
      const x = await client.generate({ model, prompt: 'Hi' });
      const run = asRun();
      for await (const part of await client.generate({ model, prompt: 'Hi', stream: true })) {
        run.text += part.response;
        run.finish = part.done_reason ?? run.finish;
      }
      return [asRun(x.response, { finish: x.done_reason }), run];
    },
    models: async () => {
      const listed = (await client.list()).models.map((m) => m.name);
      const shown = await client.show({ model });
      await client.ps();
      return [asRun('', { listed, one: shown.capabilities ? model : null }),
        await caught(async () => asRun('', { one: String((await client.show({ model: 'nobody/knows-it' })).details) }))];
    },
  };
}

// ---- agent frameworks -----------------------------------------------------------------------------

// The Vercel AI SDK, with one of its packages for the dialect.
const aiSdk = (connect) => async (load, job) => {
  const ai = await load('ai');
  const z = await load('zod');
  const { model, embedding } = await connect(load, job);
  const { samples } = job;
  const schemas = [z.object({ city: z.string() }), z.object({})];
  const tools = Object.fromEntries(samples.tools.map((t, i) => [t.name, ai.tool({
    description: t.description, inputSchema: schemas[i], execute: async () => samples.results[t.name] })]));
  const of = (x) => asRun(x.text, {     // text, calls and reason of the last step
    reasoning: x.reasoningText ?? '', finish: x.finishReason,
    calls: x.toolCalls.map((c) => [c.toolCallId, c.toolName, JSON.stringify(c.input)]) });
  const ask = { model, maxRetries: 0 };
  const streamed = async (more) => {
    let failure = null;
    const x = ai.streamText({ ...ask, ...more, onError: ({ error }) => { failure = error; } });
    await x.consumeStream();
    if (failure) throw failure;
    return of((await x.steps).at(-1));
  };
  const whole = async (more) => of((await ai.generateText({ ...ask, ...more })).steps.at(-1));
  const both = async (more) => [await whole(more), await streamed(more)];
  const undone = Object.fromEntries(Object.entries(tools).map(([name, { execute, ...t }]) => [name, t]));

  return {
    text: () => both({ instructions: 'Be brief.', prompt: 'Hi' }),
    tools: () => both({ prompt: 'Weather?', tools: undone }),
    'tool loop': () => both({ prompt: 'Weather?', tools, stopWhen: ai.isStepCount(5) }),
    'tool choice': async () => {
      const runs = [];
      for (const toolChoice of ['required', { type: 'tool', toolName: samples.tools[1].name }, 'none'])
        runs.push(await whole({ prompt: 'Hi', tools: undone, toolChoice }));
      return runs;
    },
    json: async () => {
      const output = ai.Output.object({ schema: z.object({ name: z.string(), count: z.number().int() }) });
      const x = await ai.generateText({ ...ask, prompt: 'Hi', output });
      const y = ai.streamText({ ...ask, prompt: 'Hi', output });
      return [{ ...of(x), parsed: x.output }, asRun(await y.text, { parsed: await y.output, finish: await y.finishReason })];
    },
    images: () => both({ messages: [{ role: 'user', content: [
      { type: 'text', text: 'What is this?' },
      { type: 'file', data: Buffer.from(samples.png, 'base64'), mediaType: 'image/png' }] }] }),
    // Of names that it does not know @ai-sdk/openai believes that they cannot reason.
    thinking: () => both({ prompt: 'Hi', reasoning: 'high',
      providerOptions: { openai: { forceReasoning: true, reasoningSummary: 'auto' } } }),
    embeddings: embedding && (async () => {
      const many = await ai.embedMany({ model: embedding, values: ['one', 'two'], maxRetries: 0 });
      const each = [];
      for (const value of ['one', 'two'])
        each.push((await ai.embed({ model: embedding, value, maxRetries: 0 })).embedding);
      return [asRun('', { vectors: many.embeddings }), asRun('', { vectors: each })];
    }),
  };
};

const aiCompatible = aiSdk(async (load, job) => {
  const provider = (await load('@ai-sdk/openai-compatible')).createOpenAICompatible({
    name: 'router', baseURL: job.url + '/v1', apiKey: 'none', supportsStructuredOutputs: true, includeUsage: true });
  return { model: provider(job.model), embedding: provider.embeddingModel(job.model) };
});
const aiResponses = aiSdk(async (load, job) => {
  const provider = (await load('@ai-sdk/openai')).createOpenAI({ baseURL: job.url + '/v1', apiKey: 'none' });
  return { model: provider.responses(job.model), embedding: provider.embedding(job.model) };
});
const aiAnthropic = aiSdk(async (load, job) => {
  const provider = (await load('@ai-sdk/anthropic')).createAnthropic({ baseURL: job.url + '/v1', apiKey: 'none' });
  return { model: provider(job.model) };
});

// @openai/agents, over chat completions or over responses.
const agents = (api) => async (load, job) => {
  const { Agent, Runner, tool, OpenAIProvider } = await load('@openai/agents');
  const OpenAI = pick(await load('openai'));
  const z = await load('zod');
  const { model, samples } = job;
  const client = new OpenAI({ baseURL: job.url + '/v1', apiKey: 'none', maxRetries: 0 });
  const runner = new Runner({
    modelProvider: new OpenAIProvider({ openAIClient: client, useResponses: api === 'responses' }), tracingDisabled: true });
  const schemas = [z.object({ city: z.string() }), z.object({})];
  const called = [];
  const tools = samples.tools.map((t, i) => tool({
    name: t.name, description: t.description, parameters: schemas[i],
    execute: async (input) => {
      called.push([null, t.name, JSON.stringify(input)]);
      return samples.results[t.name];
    } }));
  const both = async (more) => {
    const agent = new Agent({ name: 'Peer', instructions: 'Be brief.', model, ...more });
    const runs = [];
    for (const stream of [false, true]) {
      const x = await runner.run(agent, 'Hi', { stream, maxTurns: 5 });
      if (stream) await x.completed;
      if (x.error) throw x.error;
      runs.push(asRun(typeof x.finalOutput === 'string' ? x.finalOutput : JSON.stringify(x.finalOutput), {
        parsed: x.finalOutput, called: called.splice(0) }));
    }
    return runs;
  };
  return {
    text: () => both({}),
    'tool loop': () => both({ tools }),
    json: () => both({ outputType: z.object({ name: z.string(), count: z.number().int() }) }),
  };
};

const LIBRARIES = {
  'js-openai': openai('openai'), 'js-openai-6': openai('openai-6'),
  'js-anthropic': anthropic('@anthropic-ai/sdk'), 'js-anthropic-0': anthropic('anthropic-sdk-0'),
  'js-ollama': ollama,
  'js-ai-chat': aiCompatible, 'js-ai-responses': aiResponses, 'js-ai-anthropic': aiAnthropic,
  'js-agents-chat': agents('chat'), 'js-agents-responses': agents('responses'),
};

export async function runFeature(load, job) {
  try {
    const library = await LIBRARIES[job.client](load, job);
    if (!library[job.feature]) return { runs: null, error: null };
    return { runs: await library[job.feature](), error: null };
  } catch (e) {
    return { runs: [], error: { class: e.constructor?.name, status: e.status ?? e.statusCode ?? e.status_code ?? null,
      message: String(e.stack ?? e.message).slice(0, 1500) } };
  }
}
