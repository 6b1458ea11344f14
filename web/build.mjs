// SPDX-License-Identifier: Apache-2.0
//
// build - web/src becomes web/dist, which is committed and built into the program.
//
//   chat.html, operator.html    the pages; they name their files
//   NAME-DIGEST.js, .css        what they load; shared parts and what is needed later are files of their own
//   licenses.txt                of every package whose code is in them
//   X.gz, X.br                  each of these, packed by Node.js's zlib
//   meson.build                 the list, for the program's build
//
// The same sources give the same bytes. usage: node web/build.mjs [OUTPUT]
import * as esbuild from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const web = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(web, "dist"));
const pages = ["chat", "operator"];
const files = new Map();

const common = {
  absWorkingDir: web,
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  target: ["es2022", "chrome105", "firefox115", "safari16"],
  legalComments: "none", // licenses.txt has them whole
  preserveSymlinks: true, // names hold a digest of the paths: node_modules may lie anywhere
  charset: "utf8",
  logLevel: "warning",
};

// The theme is chosen before the first paint: a plain script, all the rest are modules.
const early = await esbuild.build({ ...common, entryPoints: { early: "src/shared/early.ts" }, format: "iife", outdir: out, entryNames: "[name]-[hash]" });
const main = await esbuild.build({
  ...common,
  entryPoints: Object.fromEntries(pages.map((page) => [page, `src/${page}/main.tsx`])),
  format: "esm",
  splitting: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: out,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
});
for (const file of [...early.outputFiles, ...main.outputFiles]) files.set(basename(file.path), Buffer.from(file.contents));

const icon = readFileSync(join(web, "src/shared/icon.svg"));
const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`;
files.set(iconName, icon);

function entry(page, ending) {
  return [...files.keys()].find((name) => name.startsWith(`${page}-`) && name.endsWith(ending));
}

for (const page of pages) {
  const values = { css: entry(page, ".css"), js: entry(page, ".js"), early: entry("early", ".js"), icon: iconName };
  const html = readFileSync(join(web, `src/${page}/index.html`), "utf8").replace(/\{\{(\w+)\}\}/g, (_, key) => {
    if (values[key] === undefined) throw new Error(`${page}: there is no ${key}`);
    return `/assets/${values[key]}`;
  });
  files.set(`${page}.html`, Buffer.from(html));
}

files.set("licenses.txt", Buffer.from(licenses([...Object.keys(early.metafile.inputs), ...Object.keys(main.metafile.inputs)])));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const names = [...files.keys()].sort();
for (const name of names) {
  const bytes = files.get(name);
  writeFileSync(join(out, name), bytes);
  writeFileSync(join(out, `${name}.gz`), gzipSync(bytes, { level: 9 }));
  writeFileSync(join(out, `${name}.br`), brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
}
const list = (endings) => names.flatMap((name) => endings.map((e) => `  '${name}${e}',\n`)).join("");
writeFileSync(
  join(out, "meson.build"),
  `# SPDX-License-Identifier: Apache-2.0\n# Written by web/build.mjs (./dev web).\nweb_files = files(\n${list([""])})\nweb_packed = files(\n${list([".gz", ".br"])})\n`,
);

function licenses(inputs) {
  const found = new Set(inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//g.exec(path)?.[1]).filter(Boolean));
  const texts = [...found].sort().map((name) => {
    const folder = join(web, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file !== undefined && existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8").trim() : "";
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return `The web pages of llm-router contain code of these packages.\n\n${texts.join("\n----\n\n")}`;
}
