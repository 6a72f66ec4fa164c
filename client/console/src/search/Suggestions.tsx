// Changes that lead somewhere, each with the best item that it leads to.
import { changed } from "@lapel/client";
import { lapel } from "../api";
import { kinds } from "../catalog";
import { filterOf } from "../conditions";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { items } from "../numbers";
import { Picture } from "../pictures";
import { queryOf } from "./ask";
import { seen } from "./model";
import { edit, search } from "./state";

const SUGGESTIONS = 12;

export function Suggestions() {
  const state = search.value;
  // A photo is asked about by the signatures that are seen in it.
  const ready = seen.value !== undefined || state.query.startsWith("item:");
  const query = queryOf(state, seen.value);
  const key = JSON.stringify([state.query, state.edits, state.conditions, ready]);
  const { data, error, busy } = useLoaded(key, async (signal) => {
    if (!query || !ready) return undefined;
    const request = {
      query,
      manipulations: changed(state.edits),
      filter: filterOf(state.conditions, kinds.value),
      suggestionsMax: SUGGESTIONS,
    };
    return await lapel.search.suggest(request, { signal });
  });
  const kept = Object.entries(data?.kept ?? {}).map(([attribute, label]) => `${attribute} ${label}`);
  return (
    <div class="suggestions">
      <Failure error={error} />
      {kept.length > 0 && <p class="quiet">Keeping {kept.join(", ")}:</p>}
      {data?.suggestions.length === 0 && !busy && <p class="quiet">No single change leads to an item.</p>}
      <ul>
        {data?.suggestions.map(({ manipulation, items: number, bestItemId }) =>
          manipulation ? (
            <li key={manipulation.attribute + manipulation.label}>
              <button onClick={() => edit(manipulation.attribute, manipulation.label)}>
                <Picture id={bestItemId} alt="" />
                <span>
                  {manipulation.attribute.replaceAll("_", " ")} <strong>{manipulation.label}</strong>
                  <br />
                  <span class="quiet">{items(number)}</span>
                </span>
              </button>
            </li>
          ) : null,
        )}
      </ul>
    </div>
  );
}
