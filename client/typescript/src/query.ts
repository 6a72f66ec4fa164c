// Short ways to write what nearly every request holds.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FilterSchema, ManipulationSchema, QuerySchema } from "./v1.js";

/** A query: an item of the catalogue by its id, or the bytes of a photo. */
export function like(source: string | Uint8Array): MessageInitShape<typeof QuerySchema> {
  return { source: typeof source === "string" ? { case: "itemId", value: source } : { case: "image", value: source } };
}

/** Edits: `changed({ sleeve_length: "short" })`. */
export function changed(labels: Record<string, string>): MessageInitShape<typeof ManipulationSchema>[] {
  return Object.entries(labels).map(([attribute, label]) => ({ attribute, label }));
}

/** A filter that passes where all of the given ones do. */
export function allOf(...filters: MessageInitShape<typeof FilterSchema>[]): MessageInitShape<typeof FilterSchema> {
  return { node: { case: "all", value: { filters } } };
}

/** A filter on an item's id: one of those given. */
export function withId(...itemIds: string[]): MessageInitShape<typeof FilterSchema> {
  return { node: { case: "ids", value: { itemIds } } };
}

/** A filter on a stored label: one of those given. */
export function labelled(attribute: string, ...labels: string[]): MessageInitShape<typeof FilterSchema> {
  return { node: { case: "label", value: { attribute, labels } } };
}
