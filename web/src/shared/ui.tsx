// SPDX-License-Identifier: Apache-2.0
// ui - the small parts that both pages are made of.
import type { ButtonHTMLAttributes, ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ApiError, wordsOf } from "./api.ts";
import type { Loaded } from "./hooks.ts";

// Strokes on a field of 24 x 24.
const ICONS = {
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  menu: "M4 6h16M4 12h16M4 18h16",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  retry: "M4 5v5h5M20 12a8 8 0 0 1-14.5 4.6M4.6 10A8 8 0 0 1 20 12",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  down: "M5 9l7 7 7-7",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 5 5l-8.5 8.500a1.7 1.7 0 0 1-2.5-2.500L14.5 7.5",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l4.5 4.5",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  exit: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  home: "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
  cloud: "M7 18a4 4 0 0 1-.5-8 6 6 0 0 1 11.3 1.200A3.5 3.5 0 0 1 17.5 18z",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  tool: "M14 6a4 4 0 0 1 5.5-.5L16.5 8.500l1 1 3-3A4 4 0 0 1 15 12l-7.5 7.5-3-3L12 9a4 4 0 0 1 2-3",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2.500M12 19.500V22M2 12h2.500M19.5 12H22M5 5l1.7 1.700M17.3 17.300L19 19M5 19l1.7-1.700M17.3 6.700L19 5",
  moon: "M20 14.500A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5",
  screen: "M3 5h18v11H3zM9 20h6M12 16v4",
  warn: "M12 4l9 16H3zM12 10v4.500M12 17.500h.01",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v5M12 8h.01",
} as const;
export type IconName = keyof typeof ICONS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={ICONS[name]} />
    </svg>
  );
}

interface IconButtonProps extends Omit<ButtonHTMLAttributes, "icon"> {
  icon: IconName;
  label: string;
  text?: string;
}

/** A button with a picture; what it does is read out, and shown when the mouse rests on it. */
export function IconButton({ icon, label, text, class: classes, ...rest }: IconButtonProps): JSX.Element {
  return (
    <button type="button" class={`icon-button ${typeof classes === "string" ? classes : ""}`} aria-label={label} title={label} {...rest}>
      <Icon name={icon} />
      {text !== undefined && <span>{text}</span>}
    </button>
  );
}

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  class?: string;
}

/** The browser's own dialog: focus begins at what has data-first, stays in it, Escape closes it, and it goes back to where it came from. */
export function Dialog({ title, onClose, children, class: classes = "" }: DialogProps): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={classes}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) onClose();
      }}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2>{title}</h2>
          <IconButton icon="close" label="Close" onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  action: string;
  danger?: boolean;
  onYes: () => void;
  onNo: () => void;
}

export function Confirm({ title, children, action, danger = false, onYes, onNo }: ConfirmProps): JSX.Element {
  return (
    <Dialog title={title} onClose={onNo} class="narrow">
      <div>{children}</div>
      <div class="actions">
        <button type="button" onClick={onNo}>
          Cancel
        </button>
        <button type="button" class={danger ? "danger" : "primary"} onClick={onYes}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}

/** An error that says what it is and, where that helps, offers to try again. */
export function ErrorBox({ error, onRetry }: { error: unknown; onRetry?: () => void }): JSX.Element {
  return (
    <div class="notice bad" role="alert">
      <Icon name="warn" />
      <span>{wordsOf(error)}</span>
      {onRetry !== undefined && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Spinner({ label = "Loading" }: { label?: string }): JSX.Element {
  return (
    <span class="spinner" role="status">
      <span class="hidden-text">{label}</span>
    </span>
  );
}

/** What was loaded, or that it is being loaded, or why it is not there. */
export function Show<T>({ of, children }: { of: Loaded<T>; children: (value: T) => ComponentChildren }): JSX.Element {
  if (of.value !== undefined)
    return (
      <>
        {of.error !== undefined && <ErrorBox error={of.error} onRetry={of.reload} />}
        {children(of.value)}
      </>
    );
  if (of.error !== undefined) return <ErrorBox error={of.error} onRetry={of.reload} />;
  return <Spinner />;
}

export function needsLogin(error: unknown): boolean {
  return error instanceof ApiError && error.needsLogin;
}

/** local or cloud: by word, colour and picture. */
export function Zone({ zone }: { zone: string }): JSX.Element {
  const local = zone === "local";
  return (
    <span class={`chip ${local ? "local" : "cloud"}`}>
      <Icon name={local ? "home" : "cloud"} size={14} />
      {local ? "local" : "cloud"}
    </span>
  );
}
