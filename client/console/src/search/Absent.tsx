// Why an item is not among the results.
import type { SearchResult } from "@lapel/client/v1";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { Matches } from "./Matches";
import { ComparedTerms } from "./Terms";
import { answer, busy as searching } from "./model";
import { placeOf, type Place } from "./place";
import { search, type SearchState } from "./state";

export function Absent({ id }: { id: string }) {
  const state = search.value;
  // The answer may still be that of the search before.
  const shown = searching.value ? undefined : answer.value;
  const last = shown?.ranked.at(-1)?.result;
  const key = JSON.stringify([id, { ...state, open: "" }, shown !== undefined]);
  const { data, error } = useLoaded(key, async (signal) => {
    const asked = shown && !state.disliked.includes(id);
    return asked ? { key, place: await placeOf(id, state, signal) } : undefined;
  });
  if (!shown) {
    return <p class="quiet">{searching.value ? "Looking for it…" : "Nothing is searched for: choose a photo or an item first."}</p>;
  }
  if (state.disliked.includes(id)) return <p>It is not liked, and left out for that.</p>;
  const found = data?.key === key ? data : undefined;
  const place = found?.place;
  return (
    <>
      <Failure error={error} />
      {!found && !error && <p class="quiet">Looking for it…</p>}
      {found && !place && <p>The search leaves it out, or there is no item of this id any more.</p>}
      {place && <Reason place={place} last={last} results={shown.ranked.length} state={state} />}
      {place && last && <ComparedTerms mine={place.result} last={last} />}
      {place && <Matches matches={place.result.explanation?.attributes ?? []} />}
    </>
  );
}

interface ReasonProps {
  readonly place: Place;
  readonly last: SearchResult | undefined;
  readonly results: number;
  readonly state: SearchState;
}

function Reason({ place, last, results, state }: ReasonProps) {
  const { distance } = place.result;
  return (
    <p>
      {!place.passes && <strong>It does not pass the filters. </strong>}
      It is {distance.toFixed(4)} away
      {last && distance > last.distance ? `, and the last of the ${results} results ${last.distance.toFixed(4)}` : ""}
      {place.rank === undefined ? "; more than a thousand items are nearer." : place.passes ? `: number ${place.rank} of those that pass.` : "."}
      {place.passes && state.group !== "" && ` Of each ${state.group} the nearest alone is shown.`}
      {place.passes && state.group === "" && state.relevance < 1 && " Results were chosen for variety, too."}
    </p>
  );
}
