// The requests that a state of the search page stands for.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DescribeResponse, PersonaliseRequestSchema, QuerySchema, SearchRequestSchema } from "@lapel/client/v1";
import { changed } from "@lapel/client";
import { catalog, kinds } from "../catalog";
import { filterOf, isOrdered } from "../conditions";
import { photoOf } from "../photos";
import type { SearchState } from "./state";

// What is written here as an object, never a message that was made already.
type Written<T> = Exclude<T, { $typeName: string }>;
export type SearchInit = Written<MessageInitShape<typeof SearchRequestSchema>>;
export type PersonaliseInit = Written<MessageInitShape<typeof PersonaliseRequestSchema>>;
type QueryInit = MessageInitShape<typeof QuerySchema>;

// Fields shown with each result: as many as a card has room for.
const SHOWN_FIELDS_MAX = 6;

/** The source of a query as it is sent first: the item's id, or the photo. */
export function sourceOf(query: string): { case: "itemId"; value: string } | { case: "image"; value: Uint8Array } | undefined {
  if (query.startsWith("item:")) return { case: "itemId", value: query.slice("item:".length) };
  const photo = photoOf(query.slice("photo:".length));
  return photo && { case: "image", value: photo };
}

/** The query: of a photo, its signatures, so that it is looked at once, however often the weights move. */
export function queryOf(state: SearchState, seen: DescribeResponse | undefined): QueryInit | undefined {
  if (state.query.startsWith("photo:") && seen) {
    return { source: { case: "signatures", value: { signatures: seen.signatures } } };
  }
  const source = sourceOf(state.query);
  return source && { source };
}

/** The search, with weights where there are any. */
export function searchOf(state: SearchState, query: QueryInit | undefined, weights?: Record<string, number>): SearchInit {
  const request: SearchInit = {
    query,
    manipulations: changed(state.edits),
    filter: filterOf(state.conditions, kinds.value),
    k: state.k,
    explain: true,
    showFields: shownFields(),
  };
  // Of all heads in play: others take no part, as without.
  if (weights) request.weighting = { case: "weights", value: { byHead: weights, onlyNamed: true } };
  else if (state.profile !== "") request.weighting = { case: "profile", value: state.profile };
  if (state.group !== "") request.groupBy = { field: state.group, resultsMax: 1 };
  else if (state.relevance < 1) request.diversity = { relevance: state.relevance };
  return request;
}

/** The search by picked items. */
export function personaliseOf(state: SearchState, query: QueryInit | undefined): PersonaliseInit {
  return {
    pickedIds: [...state.liked],
    unwantedIds: [...state.disliked],
    query,
    manipulations: changed(state.edits),
    profile: state.profile,
    filter: filterOf(state.conditions, kinds.value),
    k: state.k,
    explain: true,
    showFields: shownFields(),
  };
}

function shownFields(): string[] {
  const fields = catalog.value?.stats.fields ?? [];
  // Prices and numbers first.
  const ordered = [...fields].sort((a, b) => Number(isOrdered(b.kind)) - Number(isOrdered(a.kind)));
  return ordered.slice(0, SHOWN_FIELDS_MAX).map(({ field }) => field);
}
