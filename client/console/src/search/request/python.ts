// The request as a program of the Python client.
import { FieldKind } from "@lapel/client/v1";
import { kinds } from "../../catalog";
import { fieldValue, type Condition } from "../../conditions";
import type { SearchState } from "../state";
import type { Request } from "./request";
import { PHOTO, grpcUrl, itemOf } from "./subject";

export function pythonText({ state, weights }: Request): string {
  const { conditions } = state;
  const dated = conditions.some(({ of, name }) => of !== "label" && kinds.value.get(name) === FieldKind.TIMESTAMP);
  const call = state.liked.length > 0 ? "personalise" : "search";
  const results = state.group !== "" && call === "search" ? "(result for group in answer.groups for result in group.results)" : "answer.results";
  return [
    ...(dated ? ["from datetime import datetime", ""] : []),
    "import lapel",
    ...(conditions.length > 0 ? ["from lapel import filters"] : []),
    "",
    `with lapel.Client(${JSON.stringify(grpcUrl)}) as client:`,
    `    answer = client.${call}(`,
    ...argumentsOf(state, weights).map((argument) => `        ${argument},`),
    "    )",
    `    for result in ${results}:`,
    "        print(result.item_id, result.distance)",
  ].join("\n");
}

function argumentsOf(state: SearchState, weights: Request["weights"]): string[] {
  const picked = state.liked.length > 0;
  const found = picked ? [list(state.liked)] : [];
  if (picked && state.disliked.length > 0) found.push(`unwanted_ids=${list(state.disliked)}`);
  const id = itemOf(state.query);
  if (id !== undefined) found.push(`item_id=${JSON.stringify(id)}`);
  else if (state.query !== "") found.push(`image=${JSON.stringify(PHOTO)}`);
  if (Object.keys(state.edits).length > 0) found.push(`manipulations=${dict(state.edits)}`);
  if (weights && !picked) found.push(`weights=${dict(weights)}`, "only_named=True");
  else if (state.profile !== "") found.push(`profile=${JSON.stringify(state.profile)}`);
  if (state.conditions.length > 0) found.push(`filter=${filter(state.conditions)}`);
  if (state.group !== "" && !picked) found.push(`group_by=${JSON.stringify(state.group)}`);
  else if (state.relevance < 1 && !picked) found.push(`diversity=${state.relevance}`);
  return [...found, `k=${state.k}`, "explain=True"];
}

function list(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(", ")}]`;
}

// Texts and numbers of JSON are Python's, too.
function dict(values: Readonly<Record<string, string | number>>): string {
  return `{${Object.entries(values).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(", ")}}`;
}

function filter(conditions: readonly Condition[]): string {
  const [only = "", ...more] = conditions.map(condition);
  return more.length === 0 ? only : `filters.all_of(${[only, ...more].join(", ")})`;
}

function condition(condition: Condition): string {
  const { name } = condition;
  const value = (text: string) => pythonValue(text, kinds.value.get(name) ?? FieldKind.KEYWORD);
  if (condition.of === "range") {
    const ends = [condition.from && `at_least=${value(condition.from)}`, condition.to && `at_most=${value(condition.to)}`];
    return `filters.between(${[JSON.stringify(name), ...ends.filter((end) => end !== "")].join(", ")})`;
  }
  const values = condition.values.map(condition.of === "label" ? (text) => JSON.stringify(text) : value);
  return `filters.${condition.of}(${[JSON.stringify(name), ...values].join(", ")})`;
}

/** A field's value of its kind: the client tells 5 from 5.0. */
function pythonValue(text: string, kind: FieldKind): string {
  const value = fieldValue(text, kind);
  switch (value.case) {
    case "integer":
      return `${value.value}`;
    case "number":
      return Number.isInteger(value.value) ? value.value.toFixed(1) : `${value.value}`;
    case "boolean":
      return value.value ? "True" : "False";
    case "timestamp":
      return `datetime.fromisoformat(${JSON.stringify(new Date(text).toISOString())})`;
    case "keyword":
      return JSON.stringify(value.value);
  }
}
