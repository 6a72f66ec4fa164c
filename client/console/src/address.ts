// The state in the address bar: `#/PAGE?name=value`. Going back goes back.
import { signal } from "@preact/signals";

/** The pages there are. */
export const PAGES = ["search", "teach", "heads", "catalogue", "server"] as const;
export type Page = (typeof PAGES)[number];

export interface Address {
  readonly page: Page;
  readonly params: URLSearchParams;
}

export const address = signal(read());

/** Goes to a page; `replace`: without a step to go back to. */
export function go(page: Page, params: URLSearchParams, replace = false): void {
  const hash = link(page, params);
  if (hash === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
  if (page !== address.value.page) scrollTo(0, 0);
  address.value = { page, params };
}

/** The address of a page, for a link. */
export function link(page: Page, params = new URLSearchParams()): string {
  const query = params.toString();
  return query === "" ? `#/${page}` : `#/${page}?${query}`;
}

function read(): Address {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const page = PAGES.find((known) => known === path) ?? "search";
  return { page, params: new URLSearchParams(query) };
}

addEventListener("hashchange", () => {
  const next = read();
  if (next.page !== address.value.page) scrollTo(0, 0);
  address.value = next;
});

/** Values of one parameter, in which any character may be. */
export function joined(values: readonly string[], separator: string): string {
  return values.map((value) => encodeURIComponent(value)).join(separator);
}

export function parted(text: string, separator: string): string[] {
  return text === "" ? [] : text.split(separator).map(decoded);
}

// An address that somebody has typed need not be well-formed.
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
