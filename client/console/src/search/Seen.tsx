// What was seen in the query, an attribute a row, which opens to the labels that could be there instead.
import { useState } from "preact/hooks";
import type { AttributeLabels, PredictedAttribute } from "@lapel/client/v1";
import { labelled, allOf } from "@lapel/client";
import { lapel } from "../api";
import { catalog, kinds } from "../catalog";
import { filterOf, withCondition, type Condition } from "../conditions";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { count, percent } from "../numbers";
import { seen } from "./model";
import { change, edit, search, type SearchState } from "./state";

export function Seen() {
  const [open, setOpen] = useState("");
  const attributes = catalog.value?.attributes ?? [];
  return (
    <section aria-labelledby="seen">
      <h2 id="seen">Attributes</h2>
      <ul class="rows">
        {attributes.map((known) => (
          <Row
            key={known.attribute}
            known={known}
            open={open === known.attribute}
            toggle={() => setOpen(open === known.attribute ? "" : known.attribute)}
          />
        ))}
      </ul>
    </section>
  );
}

function Row({ known, open, toggle }: { known: AttributeLabels; open: boolean; toggle: () => void }) {
  const { attribute } = known;
  const predicted = seen.value?.attributes.find((other) => other.attribute === attribute);
  const stored = seen.value?.storedLabels[attribute];
  const wanted = search.value.edits[attribute];
  const best = predicted?.labels[0];
  const shown = stored ?? best?.label;
  const unsure = stored === undefined && predicted?.unsure === true;
  return (
    <li class={wanted ? "edited" : ""}>
      <button class="row" aria-expanded={open} onClick={toggle}>
        <span class="name">{attribute.replaceAll("_", " ")}</span>
        <span class="value">
          {shown === undefined ? (
            <span class="quiet">{seen.value ? "not seen" : ""}</span>
          ) : (
            <span class={wanted ? "was" : unsure ? "unsure" : ""}>
              {shown}
              {unsure && !wanted && "?"}
            </span>
          )}
          {wanted && <strong> → {wanted}</strong>}
        </span>
        <span class="quiet number">
          {wanted ? "" : stored !== undefined ? "stored" : best ? percent(best.probability) : ""}
        </span>
      </button>
      {open && <Labels known={known} predicted={predicted} current={shown} />}
    </li>
  );
}

/** Items that pass and carry all other wanted labels. */
function others(state: SearchState, attribute: string) {
  const wanted = Object.entries(state.edits).filter(([other]) => other !== attribute);
  const filter = filterOf(state.conditions, kinds.value);
  return allOf(...wanted.map(([other, label]) => labelled(other, label)), ...(filter ? [filter] : []));
}

function Labels(props: { known: AttributeLabels; predicted: PredictedAttribute | undefined; current: string | undefined }) {
  const { attribute, labels } = props.known;
  const state = search.value;
  const request = { filter: others(state, attribute), facets: [{ of: { case: "attribute" as const, value: attribute }, valuesMax: 1000 }] };
  const key = JSON.stringify([state.edits, state.conditions]);
  const { data, error } = useLoaded(key, (signal) => lapel.catalog.countItems(request, { signal }));
  const counts = new Map(data?.facets[0]?.counts.map(({ value, items }) => [value, items]));
  const wanted = state.edits[attribute];
  const probabilities = new Map(props.predicted?.labels.map(({ label, probability }) => [label, probability]));
  const ordered = [...labels].sort((a, b) => (probabilities.get(b.label) ?? 0) - (probabilities.get(a.label) ?? 0));
  return (
    <div class="labels">
      <Failure error={error} />
      <p class="quiet columns">
        <span>search for</span>
        <span>seen</span>
        <span>items</span>
      </p>
      {ordered.map(({ label, prototypeCount }) => {
        const items = counts.get(label) ?? 0n;
        const probability = probabilities.get(label);
        return (
          <button
            key={label}
            class="label columns"
            aria-pressed={wanted === label}
            disabled={prototypeCount === 0n || state.query === ""}
            title={prototypeCount === 0n ? "no item shows it yet, so it cannot be asked for" : undefined}
            onClick={() => edit(attribute, wanted === label || label === props.current ? undefined : label)}
          >
            <span>
              {label}
              {label === props.current && <span class="quiet"> · as it is</span>}
            </span>
            <span class="number">{probability === undefined ? "" : percent(probability)}</span>
            <span class={items === 0n ? "number none" : "number"}>{data ? count(items) : "…"}</span>
          </button>
        );
      })}
      <div class="inline">
        {wanted && <button onClick={() => edit(attribute, undefined)}>Leave as it was</button>}
        <OnlySuch attribute={attribute} label={wanted ?? props.current} />
      </div>
    </div>
  );
}

/** A wanted label draws results nearer; as a filter it lets no others pass. */
function OnlySuch({ attribute, label }: { attribute: string; label: string | undefined }) {
  if (label === undefined) return null;
  const condition: Condition = { of: "label", name: attribute, values: [label] };
  const add = () => change({ conditions: withCondition(search.value.conditions, attribute, "label", condition) });
  return (
    <button class="plain" onClick={add}>
      Show only {label}
    </button>
  );
}
