// One result: its picture, whether it has what was asked for, and what can be done with it.
import type { AttributeMatch, SearchResult } from "@lapel/client/v1";
import { AttributeOutcome } from "@lapel/client/v1";
import { Picture } from "../pictures";
import { valueText } from "../values";
import { dragItem } from "./drag";
import type { Ranked } from "./model";
import { begin, change, judge, search } from "./state";

// Differences named on a card.
const DIFFERENCES_MAX = 3;

export function Card({ ranked, rank }: { ranked: Ranked; rank: number }) {
  const { result, group } = ranked;
  const id = result.itemId;
  const { liked, disliked, open } = search.value;
  const look = () => change({ open: open === id ? "" : id });
  const judged = liked.includes(id) ? " liked" : disliked.includes(id) ? " disliked" : "";
  return (
    <li class={`card${result.matchesAll ? " all" : ""}${open === id ? " open" : ""}${judged}`} data-item={id}>
      <button
        class="look"
        aria-expanded={open === id}
        aria-label={`${rank}. ${id}${result.matchesAll ? ", has all that was asked for" : ""}: explain`}
        draggable
        onDragStart={(event) => dragItem(event, id)}
        onClick={look}
      >
        <Picture id={id} picture={result.picture} alt="" />
        {result.matchesAll && <span class="badge" aria-hidden="true">{result.matchesPredicted ? "all (predicted)" : "all"}</span>}
      </button>
      <div class="caption">
        <span class="rank">{rank}</span>
        <span class="id">{id}</span>
        <span class="number quiet" title="distance">
          {result.distance.toFixed(3)}
        </span>
      </div>
      <Facts result={result} group={group} />
      <Differences matches={result.explanation?.attributes ?? []} />
      <div class="actions">
        <button {...key("l", "like")} aria-pressed={liked.includes(id)} onClick={() => judge(id, "liked")} aria-label={`Like ${id}`}>
          Like
        </button>
        <button {...key("d", "dislike")} aria-pressed={disliked.includes(id)} onClick={() => judge(id, "disliked")} aria-label={`Dislike ${id}`}>
          Dislike
        </button>
        <button {...key("s", "search like it")} onClick={() => change(begin(`item:${id}`))} aria-label={`Similar to ${id}`}>
          Similar
        </button>
      </div>
    </li>
  );
}

/** A letter that presses the button while the card has the focus. */
function key(letter: string, what: string) {
  return { "aria-keyshortcuts": letter, title: `${what}: ${letter}` };
}

function Facts({ result, group }: { result: SearchResult; group: string }) {
  const facts = Object.entries(result.fields)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${valueText(value)}`);
  if (group !== "") facts.unshift(`${search.value.group}: ${group}`);
  return facts.length === 0 ? null : <p class="facts quiet">{facts.join(" · ")}</p>;
}

/** What was asked for and is not there, and what differs from the query. */
function Differences({ matches }: { matches: readonly AttributeMatch[] }) {
  const lacking = matches.filter((match) => match.edited && match.outcome !== AttributeOutcome.CHANGED);
  const differing = matches.filter((match) => !match.edited && match.outcome === AttributeOutcome.DIFFERS);
  if (lacking.length === 0 && differing.length === 0) return null;
  return (
    <ul class="differences">
      {lacking.map(({ attribute, wanted, found }) => (
        <li key={attribute} class="lacks">
          {found === "" ? `${wanted} not known` : `${found}, not ${wanted}`}
        </li>
      ))}
      {differing.slice(0, DIFFERENCES_MAX).map(({ attribute, found, wanted }) => (
        <li key={attribute} title={`${attribute}: ${found}; the query: ${wanted}`}>
          {found}
        </li>
      ))}
      {differing.length > DIFFERENCES_MAX && <li>+{differing.length - DIFFERENCES_MAX}</li>}
    </ul>
  );
}
