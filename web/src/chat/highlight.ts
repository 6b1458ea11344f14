// SPDX-License-Identifier: Apache-2.0
// highlight - colours for code: a few languages that people here meet. lowlight gives a tree; we want a list of pieces,
// each with one class that style.css knows.
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";

export interface Coloured {
  class: string;
  text: string;
}

/** Longer code stays plain: colours are not worth a page that stands still. */
const LONGEST = 50_000;

const low = createLowlight({ bash, c, cpp, css, diff, go, ini, java, javascript, json, python, r, rust, sql, typescript, xml, yaml });

// Its classes are many; the eye needs few.
const KINDS: readonly [RegExp, string][] = [
  [/comment|quote|meta/, "hl-note"],
  [/string|regexp|addition|char/, "hl-text"],
  [/number|literal|symbol|bullet/, "hl-number"],
  [/keyword|selector-tag|deletion|operator|tag\b/, "hl-word"],
  [/title|name|attr|section|type|built_in|property|variable/, "hl-name"],
];

interface Node {
  type: string;
  value?: string;
  properties?: { className?: unknown };
  children?: readonly Node[];
}

function walk(node: Node, kind: string, out: Coloured[]): void {
  if (node.type === "text") {
    const last = out.at(-1);
    if (last?.class === kind) last.text += node.value ?? "";
    else out.push({ class: kind, text: node.value ?? "" });
    return;
  }
  const classes = node.properties?.className;
  const names = Array.isArray(classes) ? classes.join(" ") : "";
  const own = KINDS.find(([pattern]) => pattern.test(names))?.[1] ?? kind;
  for (const child of node.children ?? []) walk(child, own, out);
}

export function colour(language: string, text: string): Coloured[] | undefined {
  if (text.length > LONGEST || !low.registered(language.toLowerCase())) return undefined;
  const out: Coloured[] = [];
  walk(low.highlight(language.toLowerCase(), text), "", out);
  return out;
}
