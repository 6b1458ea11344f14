// SPDX-License-Identifier: Apache-2.0
// why - the router's reasons, as people say them. The router's own word stands behind, for whoever asks the administrator.
import type { Facts } from "./protocol.ts";

const RULES: readonly [RegExp, (what: string) => string][] = [
  [/^class=(.+)$/, (what) => `Chosen automatically, for this kind of question (${what.replaceAll("_", " ")}).`],
  [/^hint task=(.+)$/, (what) => `Chosen for this kind of question, which was named (${what.replaceAll("_", " ")}).`],
  [/^auto\b(.*)$/, () => "Chosen automatically."],
  [/^role (.+)$/, (what) => `Chosen from the models for ${what}.`],
  [/^alias (.+)$/, (what) => `Chosen by the configuration, which says what ${what} stands for.`],
  [/^(?:explicit provider|model listed by provider)(.*)$/, () => "You chose this model."],
];

export function whyWords({ why = "", private: hidden, zone }: Facts): string {
  const rule = RULES.find(([form]) => form.test(why));
  const words = rule === undefined ? why : rule[1](rule[0].exec(why)?.[1] ?? "");
  return [hidden === true && zone === "local" ? "It is private, so only models on the premises were asked." : "", words].filter((part) => part !== "").join(" ");
}

/** "name=1 mrn=2": what was found, how often. */
export function foundWords(findings: string): string {
  return findings
    .split(/\s+/)
    .filter((one) => one !== "")
    .map((one) => {
      const [name = "", times = "1"] = one.split("=");
      return times === "1" ? name.replaceAll("_", " ") : `${name.replaceAll("_", " ")} (${times} times)`;
    })
    .join(", ");
}
