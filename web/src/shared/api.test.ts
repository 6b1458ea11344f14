// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, errorOf, get, wordsOf } from "./api.ts";

test("an error's words are found in every dialect, and there are some without any", () => {
  assert.equal(errorOf(400, { error: { message: "no such model", type: "x", code: "y" } }).message, "no such model");
  assert.equal(errorOf(400, { error: { message: "no such model", code: "y" } }).code, "y");
  assert.equal(errorOf(400, { error: "plain" }).message, "plain");
  assert.equal(errorOf(422, { detail: "field" }).message, "field");
  assert.equal(errorOf(422, { detail: [{ loc: ["body"], msg: "decision: expected approve or deny" }] }).message, "decision: expected approve or deny");
  assert.match(errorOf(401, null).message, /not logged in/);
  assert.match(errorOf(599, "<html>").message, /599/);
  assert.ok(errorOf(401, null).needsLogin);
  assert.equal(wordsOf("no error"), "Something went wrong.");
});

test("nobody answers: an error of status 0 with plain words", async () => {
  const real = globalThis.fetch;
  globalThis.fetch = () => Promise.reject(new TypeError("network"));
  try {
    await assert.rejects(get("/x"), (e: unknown) => e instanceof ApiError && e.status === 0 && /does not answer/.test(e.message));
  } finally {
    globalThis.fetch = real;
  }
});

test("a refusal keeps its status, its words and when to come again", async () => {
  const real = globalThis.fetch;
  globalThis.fetch = () => Promise.resolve(new Response('{"error":{"message":"slow down"}}', { status: 429, headers: { "Retry-After": "7" } }));
  try {
    await assert.rejects(get("/x"), (e: unknown) => e instanceof ApiError && e.status === 429 && e.message === "slow down" && e.retryAfter === 7);
  } finally {
    globalThis.fetch = real;
  }
});
