// What is being taught: labels given on the sheet, kept for this session by the attribute's name.
import { effect, signal } from "@preact/signals";
import { address, go, joined, parted } from "../address";

const PREFIX = "lapel.examples.";

/** The attribute's name, which is the head's. */
export const name = signal("");
/** The labels there are, in the order of their keys. */
export const labels = signal<readonly string[]>([]);
/** Labels by item. */
export const examples = signal<ReadonlyMap<string, string>>(new Map());

/** Begins with an attribute, or goes on with it. */
export function begin(attribute: string, known: readonly string[]): void {
  go("teach", new URLSearchParams({ name: attribute, labels: joined(known, "|") }));
}

/** Labels an item; `undefined`: takes its label away. */
export function label(item: string, as: string | undefined): void {
  const next = new Map(examples.value);
  if (as === undefined) next.delete(item);
  else next.set(item, as);
  examples.value = next;
  sessionStorage.setItem(PREFIX + name.value, JSON.stringify([...next]));
}

/** Adds labels that items carry already, without touching those that were given here. */
export function labelMany(given: readonly (readonly [string, string])[]): void {
  examples.value = new Map([...given, ...examples.value]);
  sessionStorage.setItem(PREFIX + name.value, JSON.stringify([...examples.value]));
}

/** How many examples each label has. */
export function countsOf(given: ReadonlyMap<string, string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const as of given.values()) counts.set(as, (counts.get(as) ?? 0) + 1);
  return counts;
}

function kept(attribute: string): Map<string, string> {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(PREFIX + attribute) ?? "[]") as [string, string][]);
  } catch {
    return new Map();
  }
}

effect(() => {
  const { page, params } = address.value;
  if (page !== "teach") return;
  const attribute = params.get("name") ?? "";
  if (attribute !== name.peek()) examples.value = kept(attribute);
  name.value = attribute;
  labels.value = parted(params.get("labels") ?? "", "|");
});
