// Conditions on items, as they are chosen, in the address, as the server takes them, and as `lapel --where` writes them.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { FieldKind, type FieldValueSchema, type FilterSchema } from "@lapel/client/v1";
import { joined, parted } from "./address";

type Filter = MessageInitShape<typeof FilterSchema>;
type Kind = Exclude<NonNullable<MessageInitShape<typeof FieldValueSchema>["kind"]>, { case: undefined } | { case: "keywords" }>;

/** One condition: a label or a field has one of these values, or a field's value lies within. */
export type Condition =
  | { readonly of: "label" | "field"; readonly name: string; readonly values: readonly string[] }
  | { readonly of: "range"; readonly name: string; readonly from: string; readonly to: string };

/** Kinds of fields by name. */
export type Kinds = ReadonlyMap<string, FieldKind>;

/** The filter that all conditions together make; `undefined` without any. */
export function filterOf(conditions: readonly Condition[], kinds: Kinds): Filter | undefined {
  if (conditions.length === 0) return undefined;
  return { node: { case: "all", value: { filters: conditions.map((condition) => conditionFilter(condition, kinds)) } } };
}

function conditionFilter(condition: Condition, kinds: Kinds): Filter {
  const { name } = condition;
  const kind = kinds.get(name) ?? FieldKind.KEYWORD;
  if (condition.of === "range") {
    const { from, to } = condition;
    const range = {
      lower: from === "" ? { case: undefined } : { case: "from" as const, value: { kind: fieldValue(from, kind) } },
      upper: to === "" ? { case: undefined } : { case: "to" as const, value: { kind: fieldValue(to, kind) } },
    };
    return { node: { case: "field", value: { field: name, condition: { case: "range", value: range } } } };
  }
  if (condition.of === "label") {
    return { node: { case: "label", value: { attribute: name, labels: [...condition.values] } } };
  }
  const values = condition.values.map((value) => ({ kind: fieldValue(value, kind) }));
  return { node: { case: "field", value: { field: name, condition: { case: "anyOf", value: { values } } } } };
}

/** A value as it is typed, as the server takes it: what is `kind` in its message. */
export function fieldValue(text: string, kind: FieldKind): Kind {
  // An address may have been typed: what is no value of the kind goes as it is, and the server says so.
  if (isOrdered(kind) && !Number.isFinite(kind === FieldKind.TIMESTAMP ? Date.parse(text) : Number(text))) {
    return { case: "keyword", value: text };
  }
  switch (kind) {
    case FieldKind.INTEGER:
      return { case: "integer", value: BigInt(Math.round(Number(text))) };
    case FieldKind.NUMBER:
      return { case: "number", value: Number(text) };
    case FieldKind.BOOLEAN:
      return { case: "boolean", value: text === "true" };
    case FieldKind.TIMESTAMP:
      return { case: "timestamp", value: timestampFromDate(new Date(text)) };
    case FieldKind.KEYWORD:
    case FieldKind.KEYWORDS:
    case FieldKind.UNSPECIFIED:
      return { case: "keyword", value: text };
  }
}

/** Whether values of a kind lie in a range rather than being one of a few. */
export function isOrdered(kind: FieldKind): boolean {
  return kind === FieldKind.INTEGER || kind === FieldKind.NUMBER || kind === FieldKind.TIMESTAMP;
}

/** The conditions with one of them put in place of that of its name, or taken away. */
export function withCondition(conditions: readonly Condition[], name: string, of: string, next?: Condition): Condition[] {
  const others = conditions.filter((condition) => condition.name !== name || (condition.of === "label") !== (of === "label"));
  return next ? [...others, next] : others;
}

/** What a condition says, for people. */
export function conditionText(condition: Condition): string {
  if (condition.of !== "range") return `${condition.name}: ${condition.values.join(" or ")}`;
  const { name, from, to } = condition;
  return from === "" ? `${name} up to ${to}` : to === "" ? `${name} from ${from}` : `${name} ${from} to ${to}`;
}

/** The same for `lapel --where`. */
export function whereText(conditions: readonly Condition[], kinds: Kinds): string {
  return conditions.map((condition) => conditionWhere(condition, kinds)).join(" and ");
}

function conditionWhere(condition: Condition, kinds: Kinds): string {
  const prefix = condition.of === "label" ? "label" : "field";
  const name = `${prefix}.${quoted(condition.name)}`;
  const plain = condition.of !== "label" && (isOrdered(kinds.get(condition.name) ?? 0) || kinds.get(condition.name) === FieldKind.BOOLEAN);
  const written = plain ? (value: string) => value : quoted;
  if (condition.of === "range") {
    const ends = [condition.from && `${name} >= ${condition.from}`, condition.to && `${name} <= ${condition.to}`];
    return ends.filter((end) => end !== "").join(" and ");
  }
  const [only, ...more] = condition.values.map(written);
  return more.length === 0 ? `${name} = ${only}` : `${name} in (${[only, ...more].join(", ")})`;
}

// Words of the grammar, whatever they are named.
const RESERVED = ["and", "or", "not", "in", "exists", "missing"];

function quoted(text: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(text) && !RESERVED.includes(text.toLowerCase()) ? text : JSON.stringify(text);
}

/** Puts conditions into the address. */
export function writeConditions(conditions: readonly Condition[], params: URLSearchParams): void {
  for (const condition of conditions) {
    const values = condition.of === "range" ? [condition.from, condition.to] : condition.values;
    params.append(condition.of, `${encodeURIComponent(condition.name)}:${joined(values, "|")}`);
  }
}

/** Reads them again. */
export function readConditions(params: URLSearchParams): Condition[] {
  const found: Condition[] = [];
  for (const [of, text] of params) {
    if (of !== "label" && of !== "field" && of !== "range") continue;
    const [name = "", rest = ""] = text.split(":", 2);
    const values = parted(rest, "|");
    const [named = ""] = parted(name, ":");
    if (of === "range") found.push({ of, name: named, from: values[0] ?? "", to: values[1] ?? "" });
    else if (values.length > 0) found.push({ of, name: named, values });
  }
  return found;
}
