// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { readParams } from "./controls.tsx";
import { choices, isCloud, nobody, readiness } from "./models.ts";

const model = { name: "llama3.2", provider: "ollama", is_local: true, loaded: true, context: 8192 };
const up = { provider: "ollama", is_available: true, state: "up" };

test("readiness in words", () => {
  assert.equal(readiness(model, [up]), "loaded");
  assert.equal(readiness({ ...model, loaded: false }, [up]), "not loaded");
  assert.equal(readiness({ ...model, loaded: false }, [{ ...up, kind: "openai" }]), "ready");
  assert.equal(readiness(model, [{ ...up, is_available: false, state: "loading" }]), "loading");
  assert.equal(readiness(model, [{ ...up, is_available: false }]), "unreachable");
  assert.equal(readiness({ ...model, is_local: false }, []), "cloud");
});

test("the picker: roles, local, cloud, missing; a name that two have is told apart", () => {
  const c = choices(
    { models: [model, { ...model, provider: "second" }, { ...model, name: "gpt-5", provider: "openai", is_local: false }], roles: { fast: ["ollama/llama3.2"] } },
    [{ ...up, missing_models: ["phi4"] }],
  );
  assert.deepEqual(c.local.map((m) => [m.name, m.words]), [["ollama/llama3.2", "ollama/llama3.2 (loaded)"], ["second/llama3.2", "second/llama3.2 (loaded)"]]);
  assert.deepEqual(c.cloud.map((m) => m.words), ["gpt-5 (openai)"]);
  assert.ok(nobody(choices({ models: [], roles: { fast: [] } }, [])) && !nobody(c) && !nobody(undefined));
  assert.ok(isCloud(c, "openai/gpt-5") && !isCloud(c, "ollama/llama3.2") && !isCloud(undefined, "openai/gpt-5"));
  assert.deepEqual(c.roles.map((m) => m.name), ["fast"]);
  assert.deepEqual(c.missing.map((m) => m.words), ["phi4 (missing at ollama)"]);
});

test("parameters: what is empty is the model's own", () => {
  assert.deepEqual(readParams({ temperature: "", top_p: " ", max_tokens: "x", effort: "" }), {});
  assert.deepEqual(readParams({ temperature: "0", top_p: "0.9", max_tokens: "200", effort: "low" }), { temperature: 0, top_p: 0.9, max_tokens: 200, effort: "low" });
});
