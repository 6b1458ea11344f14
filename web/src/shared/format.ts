// SPDX-License-Identifier: Apache-2.0
// format - numbers as people read them. Amounts of money come in millionths of a dollar.
export function dollars(micro: number): string {
  const value = micro / 1e6;
  if (micro === 0) return "$0";
  if (Math.abs(value) < 0.01) return `$${value.toFixed(Math.abs(value) < 0.0001 ? 6 : 4)}`;
  return `$${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

export function milliseconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export function bytes(n: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit] ?? ""}`;
}

export function count(n: number): string {
  if (n < 10_000) return n.toLocaleString("en-US");
  return new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 }).format(n);
}

export function percent(part: number, whole: number): string {
  if (whole <= 0) return "0 %";
  const value = (100 * part) / whole;
  return `${value > 0 && value < 1 ? "< 1" : Math.round(value)} %`;
}

const two = (n: number): string => String(n).padStart(2, "0");

/* Times are those of the reader's own clock, in one form for everybody: 2026-11-23, 14:05:09. */
export const day = (date: Date): string => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
export const minute = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}`;
export const second = (date: Date): string => `${minute(date)}:${two(date.getSeconds())}`;

/** "just now", "5 min ago", then a date. */
export function ago(then: number, now: number): string {
  const s = Math.max(0, (now - then) / 1000);
  if (s < 60) return "just now";
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  if (s < 7 * 86_400) return `${Math.floor(s / 86_400)} d ago`;
  return day(new Date(then));
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
