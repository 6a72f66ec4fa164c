// The request as a command of `lapel`.
import { kinds } from "../../catalog";
import { whereText } from "../../conditions";
import type { SearchState } from "../state";
import type { Request } from "./request";
import { word } from "./shell";
import { PHOTO, grpcUrl, itemOf } from "./subject";

export function commandText({ state, weights }: Request): string {
  const parts = state.liked.length > 0 ? pick(state) : search(state, weights);
  return [`lapel --server ${grpcUrl} ${parts[0]}`, ...parts.slice(1), ...filter(state), `-k ${state.k}`, "--explain"].join(" \\\n  ");
}

function search(state: SearchState, weights: Request["weights"]): string[] {
  const parts = [`search ${subject(state)}`, ...edits(state)];
  if (weights) parts.push(...Object.entries(weights).map(([head, weight]) => `--weight ${word(`${head}=${weight}`)}`), "--only");
  else if (state.profile !== "") parts.push(`--profile ${word(state.profile)}`);
  if (state.group !== "") parts.push(`--group-by ${word(state.group)}`);
  else if (state.relevance < 1) parts.push(`--diverse ${state.relevance}`);
  return parts;
}

function pick(state: SearchState): string[] {
  const parts = [`pick ${state.liked.map(word).join(" ")}`, ...state.disliked.map((id) => `--unwanted ${word(id)}`)];
  if (state.query !== "") parts.push(`--query ${subject(state)}`);
  parts.push(...edits(state));
  if (state.profile !== "") parts.push(`--profile ${word(state.profile)}`);
  return parts;
}

function subject(state: SearchState): string {
  return itemOf(state.query) === undefined ? PHOTO : word(state.query);
}

function edits(state: SearchState): string[] {
  return Object.entries(state.edits).map(([attribute, label]) => `--set ${word(`${attribute}=${label}`)}`);
}

function filter(state: SearchState): string[] {
  const where = whereText(state.conditions, kinds.value);
  return where === "" ? [] : [`--where ${word(where)}`];
}
