// SPDX-License-Identifier: Apache-2.0
// What a model, a tool or a file's name may say, and what becomes of it on the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { render } from "preact";
import { all, settled, show } from "../../test/dom.ts";
import { colour } from "./highlight.ts";
import { Code, entities, Markdown, safeAddress } from "./markdown.tsx";
import { MessageView } from "./message.tsx";
import type { Message } from "./protocol.ts";

const ALLOWED = new Set("div p h3 h4 h5 h6 strong em del code pre ul ol li blockquote hr br table thead tbody tr th td a span input button svg path".split(" "));
const ATTRIBUTES = new Set("class href target rel title type disabled checked aria-label aria-hidden focusable tabindex role scope start viewBox width height d".split(" "));

/** Nothing but what we make, and no address but of three kinds. */
function clean(root: HTMLElement, source: string): void {
  for (const element of all(root, "*")) {
    const tag = element.tagName.toLowerCase();
    assert.ok(ALLOWED.has(tag), `${tag} of ${source}`);
    for (const { name } of [...element.attributes]) assert.ok(ATTRIBUTES.has(name), `${name} of ${source}`);
    const href = element.getAttribute("href");
    if (href !== null) {
      assert.match(href, /^(https?:\/\/|mailto:)/i, source);
      assert.equal(element.getAttribute("rel"), "noopener noreferrer");
      assert.equal(element.getAttribute("target"), "_blank");
    }
  }
}

const EVIL = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
  "<a href='javascript:alert(1)'>x</a>",
  "<details open ontoggle=alert(1)>",
  "<style>*{background:url(https://e.invalid/)}</style>",
  "<base href=https://e.invalid/>",
  "<meta http-equiv=refresh content='0;url=https://e.invalid/'>",
  "<form action=https://e.invalid/><input name=x><button>go",
  "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)></style>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](<java\nscript:alert(1)>)",
  "[x](&#106;avascript:alert(1))",
  "[x](javascript&colon;alert(1))",
  "[x](vbscript:msgbox(1))",
  "[x](data:text/html;base64,PHNjcmlwdD4=)",
  "[x](file:///etc/passwd)",
  "[x](blob:http://127.0.0.1/x)",
  "[x](//e.invalid/)",
  "[x](/chat/logout)",
  "![x](https://e.invalid/?q=secret)",
  "![x](javascript:alert(1))",
  "![x][r]\n\n[r]: https://e.invalid/pixel",
  "[x]: javascript:alert(1)\n\n[x]",
  "<javascript:alert(1)>",
  "<http://e.invalid/\"onmouseover=alert(1)>",
  "[x](https://e.invalid/ \"title\" onmouseover=alert(1))",
  "[x](https://e.invalid/ '\"><script>alert(1)</script>')",
  "`<script>alert(1)</script>`",
  "```html\n<script>alert(1)</script>\n```",
  "```\"><script>alert(1)</script>\ncode\n```",
  "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
  "# <script>alert(1)</script>",
  "- [x] <script>alert(1)</script>",
  "> <script>alert(1)</script>",
  "&lt;script&gt;alert(1)&lt;/script&gt;",
  "&#60;script&#62;alert(1)",
  "<!-- --><script>alert(1)</script><!-- -->",
  "<![CDATA[<script>alert(1)</script>]]>",
  "\u202e<script>alert(1)</script>",
];

test("no words of a model become more than text, links and what Markdown has", () => {
  for (const source of EVIL) clean(show(<Markdown text={source} />), source);
});

test("the same while it arrives: every beginning of every one", () => {
  for (const source of EVIL) for (let n = 1; n < source.length; n++) clean(show(<Markdown text={source.slice(0, n)} />), source.slice(0, n));
});

test("the words themselves are not lost", () => {
  assert.match(show(<Markdown text={"<script>alert(1)</script>"} />).textContent, /<script>alert\(1\)<\/script>/);
  assert.match(show(<Markdown text="[text](javascript:alert(1))" />).textContent, /text.*javascript:alert\(1\)/);
});

test("names of files, tools, their arguments and results", () => {
  const evil = "<img src=x onerror=alert(1)>";
  const question: Message = { n: 1, parent: 0, role: "user", content: evil, attachments: [{ name: evil, bytes: 3 }] };
  const answer: Message = {
    n: 2,
    parent: 1,
    role: "assistant",
    content: "",
    state: "complete",
    reasoning: evil,
    tool_calls: [{ id: "c", name: evil, server: evil, input: { [evil]: evil }, result: { tool_name: evil, text: evil }, quality: evil }],
    facts: { zone: "local", model: evil, why: evil },
  };
  for (const message of [question, answer]) {
    const root = show(<MessageView message={message} approvals={[{ id: "p", call: "c", name: evil, server: evil, input: evil, effect: evil, until: evil }]} queued={false} busy={false} say={() => true} />);
    assert.deepEqual(all(root, "img, script, iframe"), []);
    assert.ok(root.textContent.includes(evil));
  }
});

test("what Markdown has", () => {
  const root = show(<Markdown text={"# T\n\n**b** *i* ~~d~~ `c` [l](https://a.org/)\n\n1. x\n2. y\n\n- [x] done\n\n|a|b|\n|-|:-:|\n|1|2|\n\n> q\n\n---\n\n```py\nx = 1\n```\n"} />);
  for (const selector of ["h3", "strong", "em", "del", "p code", "a[href='https://a.org/']", "ol li", "input[type=checkbox]", "table th[scope=col]", "td.to-center", "blockquote p", "hr", "pre code"])
    assert.equal(all(root, selector).length > 0, true, selector);
  assert.equal(all(root, "pre code")[0]?.textContent, "x = 1");
});

test("addresses", () => {
  for (const good of ["https://a.org/x?y#z", "HTTP://a.org", "mailto:a@b.org"]) assert.equal(safeAddress(good), good);
  for (const bad of ["javascript:x", " javascript:x", "\u0001https://a", "ht\ntps://a", "//a", "/a", "a", "", "data:x", "https:a"]) assert.equal(safeAddress(bad), undefined, bad);
});

test("entities are letters, not markup", () => {
  assert.equal(entities("&lt;b&gt; &amp;amp; &#65;&#x42; &nope; &#0; &#xD800; &#1114112;"), "<b> &amp; AB &nope; &#0; &#xD800; &#1114112;");
});

test("a thousand quotes in quotes do not end the page", () => {
  assert.match(show(<Markdown text={`${"> ".repeat(1000)}deep`} />).textContent, /deep/);
});

test("only the block that grew is made anew", () => {
  const root = show(<Markdown text={"one\n\n`two`"} />);
  const [before] = all(root, "code");
  render(<Markdown text={"one\n\n`two`\n\nthree"} />, root);
  assert.equal(all(root, "p").length, 3);
  assert.equal(all(root, "code")[0], before);
  render(<Markdown text={"one\n\n`two` more\n\nthree"} />, root);
  assert.equal(all(root, "p")[1]?.textContent, "two more");
});

test("colours: the text stays what it was; an unknown language stays plain", async () => {
  const text = 'def f(x):\n    """doc <b>"""\n    return x + 1  # note\n';
  const pieces = colour("python", text);
  assert.equal(pieces?.map((p) => p.text).join(""), text);
  assert.ok(pieces.some((p) => p.class === "hl-note") && pieces.some((p) => p.class === "hl-text"));
  assert.equal(colour("nonsense", "x"), undefined);
  assert.equal(colour("python", "x".repeat(60_000)), undefined);
  const root = show(<Code text={text} language="python" />);
  await settled();
  assert.equal(all(root, "pre code")[0]?.textContent, text);
});
