// Where any item stands in a search, also when it is not among the results.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FilterSchema, SearchResult } from "@lapel/client/v1";
import { allOf, withId } from "@lapel/client";
import { lapel } from "../api";
import { kinds } from "../catalog";
import { filterOf } from "../conditions";
import { personaliseOf, queryOf, searchOf } from "./ask";
import { seen, weightsOf } from "./model";
import type { SearchState } from "./state";

type Filter = MessageInitShape<typeof FilterSchema>;

export interface Place {
  /** Its distance and its terms. */
  readonly result: SearchResult;
  /** Whether it passes the filters. */
  readonly passes: boolean;
  /** Its rank among those that pass; `undefined`: beyond what the server counts. */
  readonly rank: number | undefined;
}

// The server's default limit on results.
const K_MAX = 1000;

/** `undefined`: there is no such item, or it is one of those that are left out. */
export async function placeOf(id: string, state: SearchState, signal: AbortSignal): Promise<Place | undefined> {
  const nearest = await ranking(state, signal);
  const filter = filterOf(state.conditions, kinds.value);
  const [result] = await nearest({ filter: withId(id) });
  if (!result) return undefined;
  const passes = filter === undefined || (await nearest({ filter: allOf(filter, withId(id)), explain: false })).length > 0;
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
