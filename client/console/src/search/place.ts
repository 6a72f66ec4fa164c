// Where any item stands in a search, also when it is not among the results.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FilterSchema, Item, SearchResult } from "@lapel/client/v1";
import { allOf, labelled } from "@lapel/client";
import { lapel } from "../api";
import { kinds } from "../catalog";
import { filterOf } from "../conditions";
import { personaliseOf, queryOf, searchOf } from "./ask";
import { seen, weightsOf } from "./model";
import type { SearchState } from "./state";

type Filter = MessageInitShape<typeof FilterSchema>;

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
  const nearest = await ranking(state, signal);
  const filter = filterOf(state.conditions, kinds.value);
  const twins = item ? twinsOf(item) : [];
  const find = async (filters: Filter[]) => (await nearest({ filter: allOf(...filters) })).find(({ itemId }) => itemId === id);
  const result = await find(twins);
  if (!result) return { result, passes: false, rank: undefined };
  const passes = filter === undefined || (await find([filter, ...twins])) !== undefined;
  const nearer = await nearest({ filter, distanceMax: result.distance, explain: false });
  return { result, passes, rank: nearer.length < K_MAX ? nearer.length : undefined };
}

interface Changes {
  readonly filter: Filter | undefined;
  readonly distanceMax?: number;
  readonly explain?: boolean;
}

/** The search of a state, by picks or without, to be made with other filters. */
async function ranking(state: SearchState, signal: AbortSignal): Promise<(changes: Changes) => Promise<readonly SearchResult[]>> {
  const alone = { ...state, group: "", relevance: 1, k: K_MAX };
  const query = queryOf(state, seen.value);
  if (state.liked.length > 0) {
    const request = personaliseOf(alone, query);
    return async (changes) => (await lapel.feedback.personalise({ ...request, ...changes }, { signal })).results;
  }
  const request = searchOf(alone, query, await weightsOf(state, signal));
  return async (changes) => (await lapel.search.search({ ...request, exact: true, ...changes }, { signal })).results;
}

/** Conditions that the item passes with those alone that are labelled alike. */
function twinsOf(item: Item): Filter[] {
  const labels = Object.entries(item.labels).map(([attribute, label]) => labelled(attribute, label));
  const fields = Object.entries(item.fields).flatMap(([field, value]): Filter[] =>
    value.kind.case === "keywords" ? [] : [{ node: { case: "field", value: { field, condition: { case: "equals", value } } } }],
  );
  return [...labels, ...fields];
}
