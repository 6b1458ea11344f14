// SPDX-License-Identifier: Apache-2.0
// composer - where a question is written. Enter sends, Shift and Enter begin a line; files come by button, by being
// dropped, or out of the clipboard. What is written is nowhere but in this page until it is sent.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { plural } from "../shared/format.ts";
import { Icon, IconButton } from "../shared/ui.tsx";
import { addFiles, filesBytes } from "./files.ts";
import type { Attachment } from "./protocol.ts";

interface ComposerProps {
  messageBytes: number;
  running: boolean;
  full: boolean; // a question waits already
  connected: boolean;
  draft: string; // handed back after a connection that broke
  focus: string; // a change of it puts the cursor here
  onSend: (content: string, attachments: Attachment[]) => boolean;
  onStop: () => void;
}

export function Composer(props: ComposerProps): JSX.Element {
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [files, setFiles] = useState<Attachment[]>([]);
  const [wrong, setWrong] = useState<string[]>([]);
  const [over, setOver] = useState(false);
  const [waits, setWaits] = useState(false); // sent before the connection was there: goes as soon as it is

  useEffect(() => {
    if (props.draft !== "") setText((old) => (old === "" ? props.draft : old));
  }, [props.draft]);
  useEffect(() => {
    // On a phone the keyboard would cover what there is to read.
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [props.focus]);
  useEffect(() => {
    const element = area.current;
    if (element === null) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight + 2, 260)}px`;
  }, [text]);

  const add = (list: Iterable<File>): void => {
    void addFiles(files, list, filesBytes(props.messageBytes)).then((result) => {
      setFiles(result.files);
      setWrong(result.wrong);
    });
  };
  const written = (text.trim() !== "" || files.length > 0) && !props.full;
  const ready = written && props.connected;
  const send = (): void => {
    setWaits(written && !props.connected);
    if (!ready || !props.onSend(text.trim(), files)) return;
    setText("");
    setFiles([]);
    setWrong([]);
  };

  useEffect(() => {
    if (waits && props.connected) send();
  }, [props.connected]);

  return (
    <form
      class={`composer ${over ? "over" : ""}`}
      aria-label="Your question"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        if (event.dataTransfer !== null) add(event.dataTransfer.files);
      }}
    >
      {wrong.map((why) => (
        <p key={why} class="notice bad" role="alert">
          <Icon name="warn" />
          <span>{why}</span>
        </p>
      ))}
      {waits && (
        <p class="notice" role="status">
          <Icon name="info" />
          <span>This goes as soon as the connection is there.</span>
        </p>
      )}
      {files.length > 0 && <Files files={files} onRemove={(i) => setFiles(files.filter((_, k) => k !== i))} />}
      <div class="write">
        <IconButton icon="clip" label="Attach files" onClick={() => picker.current?.click()} />
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          aria-label="Files to attach"
          onChange={(event) => {
            add([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <textarea
          ref={area}
          rows={1}
          value={text}
          aria-label="Message"
          placeholder={props.full ? "One question waits already" : props.running ? "Ask the next one; it waits its turn" : "Ask something"}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setWaits(false); // it is being changed
          }}
          onPaste={(event) => {
            const pasted = [...(event.clipboardData?.files ?? [])];
            if (pasted.length === 0) return;
            event.preventDefault();
            add(pasted);
          }}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        {props.running && <IconButton icon="stop" class="stop" label="Stop the answer (Escape)" onClick={props.onStop} />}
        <button type="submit" class="primary send" disabled={!ready} aria-label="Send" title="Send (Enter)">
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}

function Files({ files, onRemove }: { files: Attachment[]; onRemove: (i: number) => void }): JSX.Element {
  return (
    <ul class="files" aria-label={plural(files.length, "file")}>
      {files.map((file, i) => (
        <li key={i} class="chip">
          {file.type.startsWith("image/") ? <img alt="" src={`data:${file.type};base64,${file.data}`} /> : <Icon name="clip" size={14} />}
          {file.name}
          <IconButton icon="close" label={`Remove ${file.name}`} onClick={() => onRemove(i)} />
        </li>
      ))}
    </ul>
  );
}
