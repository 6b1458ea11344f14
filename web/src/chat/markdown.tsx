// SPDX-License-Identifier: Apache-2.0
/*
 * markdown - a model's words as elements. marked cuts them into tokens, we make the elements: no text of anybody's is ever
 * read as HTML, so there is nothing to clean up after.
 *
 *   HTML in it       is shown as the text that it is
 *   links            http, https, mailto; open elsewhere, tell nobody where they were; any other address is shown as text
 *   images           are not loaded: a link with the same rules, for an address can carry words away
 *   code             gets its colours later (highlight.ts), and a button to copy it
 *
 * While an answer streams, only blocks whose source changed are made anew.
 */
import { Lexer } from "marked";
import type { Token, Tokens } from "marked";
import { Component, Fragment } from "preact";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { IconButton } from "../shared/ui.tsx";
import type { Coloured } from "./highlight.ts";

/** Quotes in quotes in quotes: what is deeper is shown as it was written. */
const DEPTH_MAX = 16;

export function safeAddress(href: string): string | undefined {
  // Browsers pass over tabs and line ends in an address; who writes them has something to hide.
  for (let i = 0; i < href.length; i++) if (href.charCodeAt(i) < 32 || href.charCodeAt(i) === 127) return undefined;
  return /^(?:https?:\/\/|mailto:)/i.test(href) ? href : undefined;
}

export function Markdown({ text }: { text: string }): JSX.Element {
  return (
    <div class="markdown">
      {Lexer.lex(text).map((token, i) => (
        <Block key={i} token={token} />
      ))}
    </div>
  );
}

class Block extends Component<{ token: Token }> {
  override shouldComponentUpdate(next: { token: Token }): boolean {
    return next.token.raw !== this.props.token.raw || next.token.type !== this.props.token.type;
  }
  override render(): ComponentChildren {
    return one(this.props.token, 0);
  }
}

function all(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return (tokens ?? []).map((token, i) => <Fragment key={i}>{one(token, depth)}</Fragment>);
}

function one(token: Token, depth: number): ComponentChildren {
  if (depth > DEPTH_MAX) return token.raw;
  const made = block(token, depth + 1);
  return made === undefined ? inline(token, depth + 1) : made;
}

const HEADINGS = ["h3", "h3", "h4", "h5", "h6", "h6"] as const;

function block(token: Tokens.Generic, depth: number): JSX.Element | null | undefined {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      // The page has its own first headings.
      const Heading = HEADINGS[(token as Tokens.Heading).depth - 1] ?? "h6";
      return <Heading>{all(token.tokens, depth)}</Heading>;
    }
    case "paragraph":
      return <p>{all(token.tokens, depth)}</p>;
    case "code":
      return <Code text={(token as Tokens.Code).text} language={(token as Tokens.Code).lang ?? ""} />;
    case "blockquote":
      return <blockquote>{all(token.tokens, depth)}</blockquote>;
    case "list":
      return <List list={token as Tokens.List} depth={depth} />;
    case "table":
      return <Table table={token as Tokens.Table} depth={depth} />;
    case "hr":
      return <hr />;
    default:
      return undefined;
  }
}

function inline(token: Tokens.Generic, depth: number): ComponentChildren {
  switch (token.type) {
    case "strong":
      return <strong>{all(token.tokens, depth)}</strong>;
    case "em":
      return <em>{all(token.tokens, depth)}</em>;
    case "del":
      return <del>{all(token.tokens, depth)}</del>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text}</code>;
    case "br":
      return <br />;
    case "checkbox":
      return <input type="checkbox" disabled checked={(token as Tokens.Checkbox).checked} aria-label={(token as Tokens.Checkbox).checked ? "done" : "open"} />;
    case "link":
      return <Link href={(token as Tokens.Link).href}>{all(token.tokens, depth)}</Link>;
    case "image":
      return <Link href={(token as Tokens.Image).href}>{`[image: ${(token as Tokens.Image).text || "without a name"}]`}</Link>;
    case "escape":
      return (token as Tokens.Escape).text;
    case "text":
      return token.tokens === undefined ? entities((token as Tokens.Text).text) : all(token.tokens, depth);
    default:
      return token.raw; // html, and whatever a later release may find
  }
}

function Link({ href, children }: { href: string; children: ComponentChildren }): JSX.Element {
  const address = safeAddress(href);
  if (address === undefined)
    return (
      <span>
        {children} <code>{href}</code>
      </span>
    );
  return (
    <a href={address} target="_blank" rel="noopener noreferrer" title={address}>
      {children}
    </a>
  );
}

function List({ list, depth }: { list: Tokens.List; depth: number }): JSX.Element {
  const items = list.items.map((item, i) => (
    <li key={i} class={item.task ? "task" : undefined}>
      {all(item.tokens, depth)}
    </li>
  ));
  if (!list.ordered) return <ul>{items}</ul>;
  return <ol start={list.start === "" ? 1 : list.start}>{items}</ol>;
}

function Table({ table, depth }: { table: Tokens.Table; depth: number }): JSX.Element {
  const side = (align: string | null): string | undefined => (align === null ? undefined : `to-${align}`);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            {table.header.map((cell, i) => (
              <th key={i} scope="col" class={side(cell.align)}>
                {all(cell.tokens, depth)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, k) => (
                <td key={k} class={side(cell.align)}>
                  {all(cell.tokens, depth)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", mdash: "\u2014", ndash: "\u2013", hellip: "\u2026" };

/** marked leaves these to a browser's HTML parser, which we have no use for. */
export function entities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal: string | undefined, hex: string | undefined, name: string | undefined) => {
    if (name !== undefined) return NAMED[name] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
    return point >= 32 && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff) ? String.fromCodePoint(point) : whole;
  });
}

/* ---- code ---- */

type Colour = (language: string, text: string) => Coloured[] | undefined;
let colour: Colour | undefined;
let asked: Promise<void> | undefined;

/** The highlighter is a file of its own, loaded when there is code for the first time. */
function loadColours(): Promise<void> {
  asked ??= import("./highlight.ts").then((module) => {
    colour = module.colour;
  });
  return asked;
}

export function Code({ text, language }: { text: string; language: string }): JSX.Element {
  const [, again] = useState(0);
  const [copied, setCopied] = useState(false);
  const word = /^[\w+#.-]*/.exec(language)?.[0] ?? "";
  useEffect(() => {
    if (colour !== undefined || word === "") return undefined;
    let gone = false;
    loadColours().then(
      () => {
        if (!gone) again((n) => n + 1);
      },
      () => {
        asked = undefined; // without colours, then
      },
    );
    return () => {
      gone = true;
    };
  }, [word]);
  return (
    <div class="code">
      <div class="code-head">
        <span>{word === "" ? "text" : word}</span>
        <IconButton
          icon={copied ? "check" : "copy"}
          label={copied ? "Copied" : "Copy the code"}
          onClick={() => {
            void copyText(text).then(setCopied);
            setTimeout(() => setCopied(false), 2000);
          }}
        />
      </div>
      <pre tabIndex={0} aria-label={word === "" ? "Code" : `Code, ${word}`}>
        <code>{(word !== "" && colour?.(word, text)?.map(span)) || text}</code>
      </pre>
    </div>
  );
}

function span(piece: Coloured, i: number): ComponentChildren {
  return piece.class === "" ? piece.text : (
      <span key={i} class={piece.class}>
        {piece.text}
      </span>
    );
}

/** The clipboard is only there on https and on this very machine; elsewhere the old way. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden-text";
    document.body.append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
