// What the tests of the methods share.
import type { Lapel } from "../../src/index.js";
import type { DemoItem } from "../server.js";

/** A server with a catalogue, which each test leaves as it found it. */
export interface Shop {
  /** Its client, over the transport whose turn it is. */
  readonly lapel: Lapel;
  /** What is in the catalogue. */
  readonly items: readonly DemoItem[];
  /** A photo that is not. */
  readonly photo: Uint8Array;
  /** Whether the transport can stream requests. */
  readonly streamsRequests: boolean;
}

/** Ids as the server orders them. */
export function idsOf(items: readonly { readonly id: string }[]): string[] {
  return items.map(({ id }) => id).sort();
}
