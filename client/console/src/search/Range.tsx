// A range of a field, with how its values are spread.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { FieldKind, type FieldValue } from "@lapel/client/v1";
import { lapel } from "../api";
import { kinds } from "../catalog";
import { fieldValue, filterOf, withCondition, type Condition } from "../conditions";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { count } from "../numbers";
import { valueText } from "../values";

const BARS = 16;

interface Props {
  readonly name: string;
  readonly kind: FieldKind;
  readonly conditions: readonly Condition[];
  readonly set: (conditions: Condition[]) => void;
}

export function Range({ name, kind, conditions, set }: Props) {
  const others = withCondition(conditions, name, "range");
  const { data, error } = useLoaded(JSON.stringify(others), (signal) => spread(name, kind, others, signal));
  const mine = conditions.find((condition) => condition.name === name && condition.of === "range");
  const { from, to } = mine?.of === "range" ? mine : { from: "", to: "" };
  const put = (ends: { from?: string; to?: string }) => {
    const next = { of: "range" as const, name, from, to, ...ends };
    set(withCondition(conditions, name, "range", next.from === "" && next.to === "" ? undefined : next));
  };
  const type = kind === FieldKind.TIMESTAMP ? "date" : "number";
  const most = Math.max(...(data?.counts ?? []), 1);
  return (
    <div class="range">
      <Failure error={error} />
      {data && data.counts.length > 0 && (
        <svg viewBox={`0 0 ${BARS} 10`} preserveAspectRatio="none" role="img" aria-label={`how ${name} is spread`}>
          {data.counts.map((items, at) => (
            <rect key={at} x={at + 0.06} width={0.88} y={10 - (10 * items) / most} height={(10 * items) / most}>
              <title>{`${data.starts[at]}: ${count(items)}`}</title>
            </rect>
          ))}
        </svg>
      )}
      <div class="inline">
        <input
          type={type}
          step="any"
          value={from}
          placeholder={data?.least ?? ""}
          aria-label={`${name} from`}
          onChange={(event) => put({ from: event.currentTarget.value })}
        />
        <span>to</span>
        <input
          type={type}
          step="any"
          value={to}
          placeholder={data?.greatest ?? ""}
          aria-label={`${name} to`}
          onChange={(event) => put({ to: event.currentTarget.value })}
        />
      </div>
    </div>
  );
}

/** The ends of a field's values, and how many lie in each of some equal steps between. */
async function spread(name: string, kind: FieldKind, conditions: readonly Condition[], signal: AbortSignal) {
  const filter = filterOf(conditions, kinds.value);
  const facet = async (bounds: number[]) => {
    const of = { case: "field" as const, value: name };
    const written = bounds.map((bound) => ({ kind: fieldValue(boundText(bound, kind), kind) }));
    const answer = await lapel.catalog.countItems({ filter, facets: [{ of, bounds: written }] }, { signal });
    return answer.facets[0];
  };
  const ends = await facet([0]);
  const least = numberOf(ends?.least);
  const greatest = numberOf(ends?.greatest);
  const shown = { least: valueText(ends?.least), greatest: valueText(ends?.greatest) };
  if (least === undefined || greatest === undefined || least >= greatest) return { ...shown, counts: [], starts: [] };
  const step = (greatest - least) / BARS;
  const bounds = Array.from({ length: BARS - 1 }, (_, at) => least + step * (at + 1));
  // Whole numbers close together fall on one bound.
  const apart = kind === FieldKind.INTEGER ? [...new Set(bounds.map(Math.round))] : bounds;
  const counts = (await facet(apart))?.bucketCounts.map(Number) ?? [];
  return { ...shown, counts, starts: [least, ...apart].map((bound) => `from ${boundText(bound, kind)}`) };
}

function numberOf(value: FieldValue | undefined): number | undefined {
  const kind = value?.kind;
  if (kind?.case === "timestamp") return timestampDate(kind.value).getTime();
  return kind?.case === "integer" || kind?.case === "number" ? Number(kind.value) : undefined;
}

function boundText(bound: number, kind: FieldKind): string {
  if (kind === FieldKind.TIMESTAMP) return new Date(bound).toISOString();
  return kind === FieldKind.INTEGER ? `${Math.round(bound)}` : `${Number(bound.toPrecision(6))}`;
}
