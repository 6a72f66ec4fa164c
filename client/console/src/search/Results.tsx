// The results: what was asked for, how many there are, and the grid.
import { useState } from "preact/hooks";
import { PlanKind, type AttainableChange } from "@lapel/client/v1";
import { catalog, catalogError, kinds, readCatalog } from "../catalog";
import { conditionText, isOrdered, withCondition } from "../conditions";
import { Failure } from "../Failure";
import { gridKeys } from "../grid";
import { count, items, milliseconds } from "../numbers";
import { Card } from "./Card";
import { RequestDialog } from "./RequestDialog";
import { answer, askAgain, busy, error } from "./model";
import { PAGE, change, edit, judgements, search, undoJudgement } from "./state";

const K_MAX = 1000;

export function Results() {
  const shown = answer.value;
  const { k, query, liked } = search.value;
  const stale = shown?.query !== query;
  // Nothing is searched for before the catalogue is known.
  const waiting = busy.value || (!catalog.value && !catalogError.value);
  const [showing, show] = useState(false);
  return (
    <section class="results" aria-label="Results" aria-busy={waiting}>
      <div class="bar top">
        <Wanted />
        <Arrangement />
        {(query !== "" || liked.length > 0) && <button onClick={() => show(true)}>This request</button>}
      </div>
      {showing && <RequestDialog close={() => show(false)} />}
      <Failure error={error.value ?? catalogError.value} retry={() => (catalog.value ? askAgain() : void readCatalog())} />
      {shown && (
        <>
          <p class="quiet summary" role="status">
            {summary(shown)}
            {busy.value && " · searching…"}
          </p>
          {shown.attainability && <Attainable changes={shown.attainability.changes} number={shown.attainability.items} />}
          {shown.ranked.length === 0 && <p class="empty">No item passes these filters. Take one away, above.</p>}
          <ul class={stale ? "grid stale" : "grid"} onKeyDown={gridKeys}>
            {shown.ranked.map((ranked, at) => (
              <Card key={ranked.result.itemId} ranked={ranked} rank={at + 1} />
            ))}
          </ul>
          {shown.ranked.length >= k && k < K_MAX && (
            <button class="more" onClick={() => change({ k: Math.min(K_MAX, k + PAGE) }, "replace")}>
              More results
            </button>
          )}
        </>
      )}
      {!shown && waiting && <p class="empty">Searching…</p>}
    </section>
  );
}

function summary(shown: NonNullable<typeof answer.value>): string {
  const { plan, passing, ms, generation } = shown;
  const among = passing === undefined ? "" : `${items(passing)} pass${passing === 1n ? "es" : ""}`;
  const ways = { [PlanKind.EXACT_SCAN]: "exact scan", [PlanKind.HNSW]: "HNSW", [PlanKind.CODE_SCAN]: "code scan", [PlanKind.UNSPECIFIED]: "" };
  const how = plan ? `${ways[plan.kind]} of ${count(plan.scanned)}` : "";
  return [among, how, milliseconds(ms), `generation ${generation}`].filter((part) => part !== "").join(" · ");
}

/** Everything that narrows the search, to be taken away one by one. */
function Wanted() {
  const { edits, conditions, liked, disliked } = search.value;
  const chips = [
    ...Object.entries(edits).map(([name, label]) => ({
      text: `${name.replaceAll("_", " ")} → ${label}`,
      kind: "edit",
      away: () => edit(name, undefined),
    })),
    ...conditions.map((condition) => ({
      text: conditionText(condition),
      kind: "filter",
      away: () => change({ conditions: withCondition(conditions, condition.name, condition.of) }),
    })),
    ...liked.map((id) => ({ text: `like ${id}`, kind: "like", away: () => change({ liked: liked.filter((other) => other !== id) }) })),
    ...disliked.map((id) => ({
      text: `not ${id}`,
      kind: "dislike",
      away: () => change({ disliked: disliked.filter((other) => other !== id) }),
    })),
  ];
  return (
    <div class="chips">
      {chips.map(({ text, kind, away }) => (
        <button key={text} class={`chip ${kind}`} aria-label={`take away ${text}`} onClick={away}>
          {text} <span aria-hidden="true">✕</span>
        </button>
      ))}
      {judgements.value.length > 0 && <button onClick={undoJudgement}>Undo last pick</button>}
    </div>
  );
}

/** Groups, and results that differ among themselves. */
function Arrangement() {
  const { group, relevance, liked } = search.value;
  if (liked.length > 0) return null;
  const fields = (catalog.value?.stats.fields ?? []).filter(({ field }) => !isOrdered(kinds.value.get(field) ?? 0));
  return (
    <>
      {fields.length > 0 && (
        <label class="field">
          <span>One result a</span>
          <select value={group} onChange={(event) => change({ group: event.currentTarget.value, relevance: 1 })}>
            <option value="">item</option>
            {fields.map(({ field }) => (
              <option key={field} value={field}>
                {field}
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="field">
        <span>Variety</span>
        <select
          value={`${relevance}`}
          disabled={group !== ""}
          onChange={(event) => change({ relevance: Number(event.currentTarget.value) })}
        >
          <option value="1">none: nearest first</option>
          <option value="0.7">some</option>
          <option value="0.4">much</option>
        </select>
      </label>
    </>
  );
}

/** How many items have all that was asked for; where none has, what comes closest. */
function Attainable({ changes, number }: { changes: readonly AttainableChange[]; number: bigint }) {
  if (number > 0n) {
    return (
      <p class="attainable">
        <span class="swatch" aria-hidden="true" /> {items(number)} {number === 1n ? "has" : "have"} every label that was asked for.
      </p>
    );
  }
  return (
    <div class="attainable">
      <p>No item that passes has all of it. {changes.length > 0 && "Closest:"}</p>
      <ul class="chips">
        {changes.map((close) => (
          <li key={changeText(close)}>
            <button class="chip" onClick={() => apply(close)}>
              {changeText(close)} <span class="quiet">({items(close.items)})</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function changeText({ givenUp, replaced, replacement }: AttainableChange): string {
  if (replaced) return `${replaced.attribute} ${replacement} in place of ${replaced.label}`;
  return `give up ${givenUp.map(({ attribute, label }) => `${attribute} ${label}`).join(" and ")}`;
}

function apply({ givenUp, replaced, replacement }: AttainableChange): void {
  const edits = { ...search.value.edits };
  for (const { attribute } of givenUp) delete edits[attribute];
  if (replaced) edits[replaced.attribute] = replacement;
  change({ edits });
}
