// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { foundWords, whyWords } from "./why.ts";

test("the router's reasons are told in plain words; one that is not known stays as it is", () => {
  assert.equal(whyWords({ why: "class=simple_query", zone: "local" }), "Chosen automatically, for this kind of question (simple query).");
  assert.equal(whyWords({ why: "auto, not sure of the class" }), "Chosen automatically.");
  assert.equal(whyWords({ why: "auto" }), "Chosen automatically.");
  assert.equal(whyWords({ why: "explicit provider" }), "You chose this model.");
  assert.equal(whyWords({ why: "model listed by provider" }), "You chose this model.");
  assert.equal(whyWords({ why: "role tools" }), "Chosen from the models for tools.");
  assert.equal(whyWords({ why: "alias claude-*" }), "Chosen by the configuration, which says what claude-* stands for.");
  assert.equal(whyWords({ why: "a newer rule" }), "a newer rule");
  assert.equal(whyWords({}), "");
});

test("what is private is said first", () => {
  assert.match(whyWords({ why: "auto", private: true, zone: "local" }), /^It is private, so only models on the premises were asked. Chosen/);
});

test("what was found, and how often", () => {
  assert.equal(foundWords("name=1 mrn=2 date_of_birth=1"), "name, mrn (2 times), date of birth");
  assert.equal(foundWords(""), "");
});
