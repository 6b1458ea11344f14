// SPDX-License-Identifier: Apache-2.0
//
// check - what ./dev test asks of the web pages; prints "ok NAME" or "not ok NAME" for each.
//
//   types        tsc finds nothing
//   lint         eslint neither, warnings included
//   unit         src/**/*.test.ts(x) and test/*.test.ts(x), bundled and run by Node.js's own test runner
//   same bytes   a build gives what is committed in web/dist (of packed files: what they unpack to)
//   first load   what each page loads before it is shown, packed, is below 150 kB
//   at home      nothing in it names an address to load from, and the pages have no inline script or style
//
// usage: node web/check.mjs [unit]
import * as esbuild from "esbuild";
import { execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

const web = dirname(fileURLToPath(import.meta.url));
const dist = join(web, "dist");
const scratch = resolve(web, "../build/web-check");
const LIMIT = 150_000;
let bad = 0;

function verdict(name, wrong) {
  console.log(wrong.length === 0 ? `ok ${name}` : `not ok ${name}`);
  for (const why of wrong) console.log(`    ${why}`);
  bad += wrong.length === 0 ? 0 : 1;
}

function tool(name, ...args) {
  const done = spawnSync(process.execPath, [join(web, "node_modules", ...name), ...args], { cwd: web, encoding: "utf8" });
  return done.status === 0 ? [] : `${done.stdout}${done.stderr}`.trim().split("\n");
}

/** Every test file becomes one module, with the stand-ins of test/ beside it. */
async function unit() {
  const out = join(scratch, "unit");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  symlinkSync(join(web, "node_modules"), join(out, "node_modules"));
  const tests = globSync(["src/**/*.test.{ts,tsx}", "test/*.test.{ts,tsx}"], { cwd: web }).sort();
  await esbuild.build({
    absWorkingDir: web,
    entryPoints: tests,
    outdir: out,
    outbase: web,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    splitting: true, // what a test imports when it runs is loaded then
    platform: "node",
    packages: "external",
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".css": "empty" },
    sourcemap: "inline",
    logLevel: "warning",
  });
  const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", "--test-reporter=tap", ...globSync(join(out, "{src,test}/**/*.test.mjs"))], { encoding: "utf8" });
  // Only the tests themselves, not the files that hold them.
  const lines = run.stdout.split("\n");
  let tally = 0;
  for (const [i, line] of lines.entries()) {
    const match = /^\s*(ok|not ok) \d+ - (.*)$/.exec(line);
    if (match === null || lines.slice(i + 1, i + 5).some((l) => l.includes("type: 'suite'")) || /\.test\.mjs$/.test(match[2])) continue;
    console.log(`${match[1]} ${match[2]}`);
    tally += match[1] === "ok" ? 1 : 0;
  }
  if (run.status !== 0) {
    for (const [i, line] of lines.entries()) if (/^\s*not ok/.test(line)) console.log(lines.slice(i, i + 30).join("\n"));
    console.log(run.stderr);
    verdict("unit tests", ["some failed"]);
  } else if (tally === 0) verdict("unit tests", ["none were found"]);
}

function sameBytes() {
  const again = join(scratch, "dist");
  execFileSync(process.execPath, [join(web, "build.mjs"), again]);
  const wrong = [];
  const committed = readdirSync(dist).sort();
  const made = readdirSync(again).sort();
  for (const name of new Set([...committed, ...made])) {
    if (!committed.includes(name) || !made.includes(name)) wrong.push(`${name}: ${committed.includes(name) ? "is committed and not made" : "is made and not committed"}`);
    else if (!/\.(gz|br)$/.test(name) && !readFileSync(join(dist, name)).equals(readFileSync(join(again, name)))) wrong.push(`${name} is not what its source gives`);
    else if (name.endsWith(".gz") && !gunzipSync(readFileSync(join(dist, name))).equals(readFileSync(join(dist, name.slice(0, -3))))) wrong.push(`${name} is not ${name.slice(0, -3)}`);
    else if (name.endsWith(".br") && !brotliDecompressSync(readFileSync(join(dist, name))).equals(readFileSync(join(dist, name.slice(0, -3))))) wrong.push(`${name} is not ${name.slice(0, -3)}`);
  }
  if (wrong.length > 0) wrong.push("./dev web makes it anew");
  return wrong;
}

/** The files that a page names, and those that their static imports name. */
function firstLoad(page) {
  const seen = new Set([page]);
  for (const name of seen) {
    if (!/\.(html|js)$/.test(name)) continue;
    const text = readFileSync(join(dist, name), "utf8");
    const named = name.endsWith(".html") ? text.matchAll(/"\/assets\/([^"]+)"/g) : text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g);
    for (const [, one] of named) seen.add(one);
  }
  return [...seen];
}

function size(page) {
  const names = firstLoad(page);
  const total = names.reduce((sum, name) => sum + readFileSync(join(dist, `${name}.gz`)).length, 0);
  console.log(`# ${page}: ${total} bytes with gzip in ${names.length} files`);
  return total < LIMIT ? [] : [`${page}: ${total} bytes are more than ${LIMIT}`];
}

function atHome() {
  const wrong = [];
  // Names of formats, and what libraries say in errors: nobody loads them.
  const known = [/^http:\/\/www\.w3\.org\/(1999\/(xhtml|xlink)|2000\/svg|1998\/Math\/MathML|XML\/1998\/namespace)/, /^https:\/\/github\.com\/(markedjs|highlightjs)\//];
  for (const name of readdirSync(dist).filter((n) => /\.(html|js|css|svg)$/.test(n))) {
    const text = readFileSync(join(dist, name), "utf8");
    for (const [address] of text.matchAll(/\b(?:https?|wss?):\/\/[A-Za-z0-9[][^\s"'`)\\]*/g)) if (!known.some((k) => k.test(address))) wrong.push(`${name}: ${address}`);
    for (const [part] of text.matchAll(/@import[^;]*|url\((?!["']?(?:data:|#))[^)]*\)/g)) if (/\.(css|html)$/.test(name)) wrong.push(`${name}: ${part}`);
    if (/\b(eval|new Function)\(/.test(text)) wrong.push(`${name}: makes code from text`);
    if (name.endsWith(".html") && (/<style|style=|\son\w+=/.test(text) || /<script(?![^>]*\ssrc=)/.test(text))) wrong.push(`${name}: inline script or style`);
  }
  return wrong;
}

rmSync(scratch, { recursive: true, force: true });
const wanted = process.argv[2];
if (wanted === undefined) {
  verdict("types", tool(["typescript", "bin", "tsc"], "-p", "."));
  verdict("lint", tool(["eslint", "bin", "eslint.js"], "--max-warnings", "0", "."));
}
await unit();
if (wanted === undefined) {
  verdict("same bytes", sameBytes());
  verdict("first load of the chat", size("chat.html"));
  verdict("first load of the operator's pages", size("operator.html"));
  verdict("at home", atHome());
}
process.exit(bad > 0 ? 1 : 0);
