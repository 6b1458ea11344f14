// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { addFiles, filesBytes, imageType, readFile } from "./files.ts";

const TOTAL = filesBytes(1_000_000);
const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3]);

test("the bytes decide what a file is, not its name", async () => {
  assert.equal(imageType(PNG), "image/png");
  assert.equal(imageType(new TextEncoder().encode("RIFF1234WEBPx")), "image/webp");
  assert.deepEqual(await readFile(new File([PNG], "evil.txt", { type: "text/plain" }), TOTAL), { name: "evil.txt", type: "image/png", data: Buffer.from(PNG).toString("base64") });
  assert.deepEqual(await readFile(new File(["a,b\nü"], "week.csv", { type: "text/csv" }), TOTAL), { name: "week.csv", type: "text/csv", data: "a,b\nü" });
  assert.equal((await readFile(new File(["x"], "a.png", { type: "image/png" }), TOTAL)).type, "text/plain");
  await assert.rejects(readFile(new File([new Uint8Array([0xff, 0xfe, 0x00])], "a.doc"), TOTAL), /neither text nor an image/);
  await assert.rejects(readFile(new File(["a\u0000b"], "a.bin"), TOTAL), /neither text nor an image/);
  await assert.rejects(readFile(new File(["x".repeat(TOTAL + 1)], "big.txt"), TOTAL), /too large/);
});

test("at most so many and so much; what does not fit is told, the rest stays", async () => {
  const many = await addFiles([], Array.from({ length: 10 }, (_, i) => new File(["x"], `${i}.txt`)), TOTAL);
  assert.equal(many.files.length, 8);
  assert.equal(many.wrong.length, 2);
  const big = await addFiles([], [new File(["x".repeat(TOTAL - 8)], "a.txt"), new File(["x".repeat(10)], "b.txt"), new File(["y"], "c.txt")], TOTAL);
  assert.deepEqual(big.files.map((f) => f.name), ["a.txt", "c.txt"]);
  assert.match(big.wrong[0] ?? "", /b\.txt does not fit/);
});
