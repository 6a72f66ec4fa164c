// Where any item stands in a search, also when it is not among the results.
import { create } from "@bufbuild/protobuf";
import { FilterSchema, type Filter, type Item, type SearchResult } from "@lapel/client/v1";
import { lapel } from "../api";
import { queryOf, searchOf, type SearchInit } from "./ask";
import { seen, weightsOf } from "./model";
import type { SearchState } from "./state";

export interface Place {
  /** Its distance and its terms; `undefined` where it could not be told apart from others. */
  readonly result: SearchResult | undefined;
  /** Whether it passes the filters. */
  readonly passes: boolean;
  /** Its rank among those that pass; `undefined`: beyond what the server counts. */
  readonly rank: number | undefined;
}

// The server's default limit on results.
const K_MAX = 1000;

/**
 * The protocol has no filter on ids: the item is found among those with exactly its labels and fields, whose distances no
 * filter changes.
 */
export async function placeOf(id: string, state: SearchState, signal: AbortSignal): Promise<Place> {
  const { item } = await lapel.catalog.getItem({ id }, { signal });
  const alone = { ...state, group: "", relevance: 1, k: K_MAX };
  const request = searchOf(alone, queryOf(state, seen.value), await weightsOf(state, signal));
  const twins = item ? twinsOf(item) : [];
  const find = async (init: SearchInit) => {
    const { results } = await lapel.search.search(init, { signal });
    return results.find(({ itemId }) => itemId === id);
  };
  const within = (filter: SearchInit["filter"]) => ({
    node: { case: "all" as const, value: { filters: filter ? [filter, ...twins] : twins } },
  });
  const result = await find({ ...request, exact: true, filter: within(undefined) });
  if (!result) return { result, passes: false, rank: undefined };
  const passes = request.filter === undefined || (await find({ ...request, exact: true, filter: within(request.filter) })) !== undefined;
  const nearer = await lapel.search.search({ ...request, explain: false, exact: true, distanceMax: result.distance }, { signal });
  const rank = nearer.results.length < K_MAX ? nearer.results.length + (passes ? 0 : 1) : undefined;
  return { result, passes, rank };
}

/** Conditions that the item passes with those alone that are labelled alike. */
function twinsOf(item: Item): Filter[] {
  const labels = Object.entries(item.labels).map(([attribute, label]) =>
    create(FilterSchema, { node: { case: "label", value: { attribute, labels: [label] } } }),
  );
  const fields = Object.entries(item.fields).flatMap(([field, value]) =>
    value.kind.case === "keywords"
      ? []
      : [create(FilterSchema, { node: { case: "field", value: { field, condition: { case: "equals", value } } } })],
  );
  return [...labels, ...fields];
}
