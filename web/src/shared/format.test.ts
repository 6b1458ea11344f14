// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, count, day, dollars, milliseconds, minute, percent, plural, second } from "./format.ts";

test("money: small amounts keep their figures", () => {
  assert.equal(dollars(0), "$0");
  assert.equal(dollars(310), "$0.0003");
  assert.equal(dollars(31), "$0.000031");
  assert.equal(dollars(12_340_000), "$12.34");
  assert.equal(dollars(1_234_567_890_000), "$1,234,567.89");
});

test("times, sizes, counts and shares", () => {
  assert.equal(milliseconds(180.4), "180 ms");
  assert.equal(milliseconds(2345), "2.3 s");
  assert.equal(milliseconds(125_000), "2 min 5 s");
  assert.equal(bytes(812), "812 B");
  assert.equal(bytes(81_200), "81.2 KB");
  assert.equal(bytes(4_700_000_000), "4.7 GB");
  assert.equal(count(9999), "9,999");
  assert.equal(count(12_345), "12.3K");
  assert.equal(percent(1, 1000), "< 1 %");
  assert.equal(percent(1, 0), "0 %");
  assert.equal(percent(2, 3), "67 %");
  assert.equal(plural(1, "message"), "1 message");
  assert.equal(plural(2, "message"), "2 messages");
});

test("times have one form, whatever the language of the browser", () => {
  const date = new Date(2026, 0, 3, 14, 5, 9);
  assert.equal(day(date), "2026-01-03");
  assert.equal(minute(date), "14:05");
  assert.equal(second(date), "14:05:09");
});

test("how long ago", () => {
  const now = Date.parse("2026-11-23T10:00:00Z");
  assert.equal(ago(now - 5000, now), "just now");
  assert.equal(ago(now + 5000, now), "just now");
  assert.equal(ago(now - 5 * 60_000, now), "5 min ago");
  assert.equal(ago(now - 3 * 3_600_000, now), "3 h ago");
  assert.equal(ago(now - 2 * 86_400_000, now), "2 d ago");
  assert.equal(ago(new Date(2026, 9, 1, 12).getTime(), now), "2026-10-01");
});
