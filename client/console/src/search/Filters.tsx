// Which items may be results: labels and fields with counts, ranges with a histogram. Shared with the catalogue's page.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { FieldKind, type FacetRequestSchema } from "@lapel/client/v1";
import { lapel } from "../api";
import { catalog, kinds } from "../catalog";
import { filterOf, isOrdered, withCondition, type Condition } from "../conditions";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { count } from "../numbers";
import { Range } from "./Range";

interface Props {
  readonly conditions: readonly Condition[];
  readonly set: (conditions: Condition[]) => void;
}

export function Filters(props: Props) {
  const fields = catalog.value?.stats.fields ?? [];
  const attributes = catalog.value?.attributes ?? [];
  return (
    <section aria-labelledby="filters">
      <h2 id="filters">Filters</h2>
      {fields
        .filter(({ items }) => items > 0n)
        .map(({ field, kind }) =>
          isOrdered(kind) ? (
            <Fold key={field} name={field} active={has(props, field, "range")}>
              <Range name={field} kind={kind} {...props} />
            </Fold>
          ) : (
            <Fold key={field} name={field} active={has(props, field, "field")}>
              <Values name={field} of="field" {...props} />
            </Fold>
          ),
        )}
      {attributes.map(({ attribute }) => (
        <Fold key={attribute} name={attribute} active={has(props, attribute, "label")}>
          <Values name={attribute} of="label" {...props} />
        </Fold>
      ))}
    </section>
  );
}

function has({ conditions }: Props, name: string, of: Condition["of"]): boolean {
  return conditions.some((condition) => condition.name === name && condition.of === of);
}

/** Counts are asked for once somebody looks. */
function Fold(props: { name: string; active: boolean; children: ComponentChildren }) {
  const [open, setOpen] = useState(props.active);
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {props.name.replaceAll("_", " ")}
        {props.active && <span class="dot" aria-label="is set" />}
      </summary>
      {open && props.children}
    </details>
  );
}

const VALUES_MAX = 200;

/** How many items have each value, among those that the other conditions let pass. */
function Values({ name, of, conditions, set }: Props & { name: string; of: "label" | "field" }) {
  const others = withCondition(conditions, name, of);
  const facet: MessageInitShape<typeof FacetRequestSchema> = {
    of: of === "label" ? { case: "attribute", value: name } : { case: "field", value: name },
    valuesMax: VALUES_MAX,
  };
  const request = { filter: filterOf(others, kinds.value), facets: [facet] };
  const { data, error } = useLoaded(JSON.stringify(others), (signal) => lapel.catalog.countItems(request, { signal }));
  const mine = conditions.find((condition) => condition.name === name && condition.of === of);
  const chosen = mine && mine.of !== "range" ? mine.values : [];
  const counted = data?.facets[0];
  const toggle = (value: string) => {
    const values = chosen.includes(value) ? chosen.filter((other) => other !== value) : [...chosen, value];
    set(withCondition(conditions, name, of, values.length === 0 ? undefined : { of, name, values }));
  };
  const known = counted?.counts.map(({ value, items }) => ({ value, items })) ?? [];
  const gone = chosen.filter((value) => !known.some((other) => other.value === value)).map((value) => ({ value, items: 0n }));
  return (
    <div class="values">
      <Failure error={error} />
      {[...known, ...gone].map(({ value, items }) => (
        <label key={value} class="value">
          <input type="checkbox" checked={chosen.includes(value)} onChange={() => toggle(value)} />
          <span>{kinds.value.get(name) === FieldKind.BOOLEAN && of === "field" ? (value === "true" ? "yes" : "no") : value}</span>
          <span class="number quiet">{count(items)}</span>
        </label>
      ))}
      {counted && counted.values > counted.counts.length && (
        <p class="quiet">and {count(counted.values - BigInt(counted.counts.length))} more values</p>
      )}
      {counted && counted.missing > 0n && <p class="quiet">{count(counted.missing)} without</p>}
    </div>
  );
}
