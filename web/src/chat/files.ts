// SPDX-License-Identifier: Apache-2.0
// files - what a person attaches: a text, or an image. The bytes decide, not the name.
import { bytes } from "../shared/format.ts";
import type { Attachment } from "./protocol.ts";

export const FILES_MAX = 8;
/** How much of a message the files may be; the rest is for the words beside them. */
export const filesBytes = (messageBytes: number): number => Math.floor(messageBytes * 0.95);

const IMAGES: readonly [string, (b: Uint8Array) => boolean][] = [
  ["image/png", (b) => b[0] === 0x89 && b[1] === 0x50 && b[2] === 0x4e && b[3] === 0x47],
  ["image/jpeg", (b) => b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff],
  ["image/gif", (b) => b[0] === 0x47 && b[1] === 0x49 && b[2] === 0x46 && b[3] === 0x38],
  ["image/webp", (b) => b[0] === 0x52 && b[1] === 0x49 && b[2] === 0x46 && b[8] === 0x57 && b[9] === 0x45 && b[10] === 0x42],
];

export function imageType(b: Uint8Array): string | undefined {
  return IMAGES.find(([, is]) => is(b))?.[0];
}

function base64(b: Uint8Array): string {
  let text = "";
  for (let i = 0; i < b.length; i += 8192) text += String.fromCharCode(...b.subarray(i, i + 8192));
  return btoa(text);
}

/** Its bytes in a frame: base64 makes four of three, JSON two of a line's end. */
export function weight(a: Attachment): number {
  return a.type.startsWith("image/") ? a.data.length : new TextEncoder().encode(JSON.stringify(a.data)).length;
}

export async function readFile(file: File, total: number): Promise<Attachment> {
  if (file.size > total) throw new Error(`${file.name} is too large (${bytes(file.size)}). Together ${bytes(total)} can be attached.`);
  const content = new Uint8Array(await file.arrayBuffer());
  const image = imageType(content);
  if (image !== undefined) return { name: file.name, type: image, data: base64(content) };
  try {
    const data = new TextDecoder("utf-8", { fatal: true }).decode(content);
    if (data.includes("\u0000")) throw new TypeError();
    return { name: file.name, type: file.type.startsWith("text/") ? file.type : "text/plain", data };
  } catch {
    throw new Error(`${file.name} is neither text nor an image (PNG, JPEG, GIF, WebP). Other files cannot be read here.`);
  }
}

/** Those that fit beside what is there, and what is wrong with the others. */
export async function addFiles(there: readonly Attachment[], files: Iterable<File>, total: number): Promise<{ files: Attachment[]; wrong: string[] }> {
  const out = [...there];
  const wrong: string[] = [];
  for (const file of files) {
    try {
      const one = await readFile(file, total);
      if (out.length >= FILES_MAX) throw new Error(`At most ${FILES_MAX} files go with a question.`);
      if (out.reduce((sum, a) => sum + weight(a), weight(one)) > total) throw new Error(`${file.name} does not fit any more: together ${bytes(total)} can be attached.`);
      out.push(one);
    } catch (e) {
      wrong.push(e instanceof Error ? e.message : file.name);
    }
  }
  return { files: out, wrong };
}
