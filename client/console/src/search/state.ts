// What is searched for: the state behind the search page, and how it stands in the address.
import { effect, signal } from "@preact/signals";
import { address, go, joined, parted } from "../address";
import { readConditions, writeConditions, type Condition } from "../conditions";

export interface SearchState {
  /** `item:ID`, `photo:KEY`, or empty. */
  readonly query: string;
  /** Wanted labels by attribute. */
  readonly edits: Readonly<Record<string, string>>;
  /** What a head's weight is multiplied by, where that is not 1. */
  readonly factors: Readonly<Record<string, number>>;
  /** The profile whose weights are used; empty: each head's own. */
  readonly profile: string;
  readonly conditions: readonly Condition[];
  /** The field that results are grouped by; empty: none. */
  readonly group: string;
  /** 0 (only difference) to 1 (as without). */
  readonly relevance: number;
  /** Results wanted. */
  readonly k: number;
  readonly liked: readonly string[];
  readonly disliked: readonly string[];
  /** The item that is looked at; empty: none. */
  readonly open: string;
}

export const PAGE = 40;

export const search = signal(read(new URLSearchParams()));

/** Picks as they were before each of the last ones. */
export const judgements = signal<readonly Pick<SearchState, "liked" | "disliked">[]>([]);

/** Changes the state and writes it into the address. `passing`: it is still changing, as a slider that is held. */
export function change(next: Partial<SearchState>, how: "step" | "replace" | "passing" = "step"): void {
  if ("query" in next) judgements.value = [];
  search.value = { ...search.value, ...next };
  if (how !== "passing") go("search", write(search.value), how === "replace");
}

/** A search for another query, which leaves filters and the profile as they are. */
export function begin(query: string): Partial<SearchState> {
  return { query, edits: {}, factors: {}, liked: [], disliked: [], open: "", k: PAGE };
}

/** Sets a wanted label, or takes it away. */
export function edit(attribute: string, label: string | undefined): void {
  const { [attribute]: _, ...edits } = search.value.edits;
  change({ edits: label === undefined ? edits : { ...edits, [attribute]: label }, k: PAGE });
}

/** Takes the last pick back. */
export function undoJudgement(): void {
  const before = judgements.value.at(-1);
  judgements.value = judgements.value.slice(0, -1);
  if (before) change(before);
}

/** Likes or dislikes an item, or takes it back. */
export function judge(id: string, as: "liked" | "disliked"): void {
  const { liked, disliked } = search.value;
  judgements.value = [...judgements.value, { liked, disliked }];
  const without = (ids: readonly string[]) => ids.filter((other) => other !== id);
  const next = { liked: without(liked), disliked: without(disliked) };
  if (!search.value[as].includes(id)) next[as] = [...next[as], id];
  change(next);
}

export function write(state: SearchState): URLSearchParams {
  const params = new URLSearchParams();
  const put = (name: string, value: string) => value !== "" && params.set(name, value);
  put("q", state.query);
  for (const [attribute, label] of Object.entries(state.edits)) params.append("set", joined([attribute, label], ":"));
  for (const [head, factor] of Object.entries(state.factors)) params.append("times", joined([head, `${factor}`], ":"));
  put("profile", state.profile);
  writeConditions(state.conditions, params);
  put("group", state.group);
  put("relevance", state.relevance === 1 ? "" : `${state.relevance}`);
  put("k", state.k === PAGE ? "" : `${state.k}`);
  for (const id of state.liked) params.append("like", id);
  for (const id of state.disliked) params.append("not", id);
  put("open", state.open);
  return params;
}

function read(params: URLSearchParams): SearchState {
  const pairs = (name: string) =>
    params.getAll(name).flatMap((text) => {
      const [key, value] = parted(text, ":");
      return key && value !== undefined ? [[key, value] as const] : [];
    });
  const within = (text: string | null, least: number, most: number, otherwise: number) => {
    const value = text === null ? NaN : Number(text);
    return value >= least && value <= most ? value : otherwise;
  };
  const factors = pairs("times").map(([head, factor]) => [head, within(factor, 0, 100, 1)] as const);
  return {
    query: params.get("q") ?? "",
    edits: Object.fromEntries(pairs("set")),
    factors: Object.fromEntries(factors),
    profile: params.get("profile") ?? "",
    conditions: readConditions(params),
    group: params.get("group") ?? "",
    relevance: within(params.get("relevance"), 0, 1, 1),
    k: Math.round(within(params.get("k"), 1, 1000, PAGE)),
    liked: params.getAll("like"),
    disliked: params.getAll("not"),
    open: params.get("open") ?? "",
  };
}

// The address leads: what going back brings is what is shown.
effect(() => {
  const { page, params } = address.value;
  if (page === "search" && params.toString() !== write(search.peek()).toString()) search.value = read(params);
});
