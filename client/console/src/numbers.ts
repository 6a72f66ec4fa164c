// Numbers as they are shown.

/** 0.914 as `91 %`. */
export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** 12345 with its thousands apart. */
export function count(items: number | bigint): string {
  return items.toLocaleString("en");
}

/** "1 item", "2 items". */
export function items(number: number | bigint): string {
  return `${count(number)} item${Number(number) === 1 ? "" : "s"}`;
}

export function milliseconds(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
