// SPDX-License-Identifier: Apache-2.0
// dom - a document for components, without a browser. Scripts in it would run if any got in: tests look at that.
import { Window } from "happy-dom";
import { options, render } from "preact";
import type { ComponentChild } from "preact";

const window = new Window({ url: "http://127.0.0.1:8484/chat" });
for (const name of ["document", "HTMLElement", "Element", "Node", "DocumentFragment", "MutationObserver", "Event", "KeyboardEvent", "MouseEvent"] as const)
  (globalThis as Record<string, unknown>)[name] = window[name];
(globalThis as Record<string, unknown>)["window"] = window;

// Effects run in the next turn and not with the next frame of a screen that is not there.
Object.assign(options, { requestAnimationFrame: (run: () => void) => setImmediate(run) });

export function show(what: ComponentChild): HTMLElement {
  const root = document.createElement("div");
  document.body.append(root);
  render(what, root);
  return root;
}

/** Effects, what they set, and what that sets: turns, not time. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise((done) => setTimeout(done, 0));
}

export function all(root: Element, selector: string): Element[] {
  return [...root.querySelectorAll(selector)];
}
