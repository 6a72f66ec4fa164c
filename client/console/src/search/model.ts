// What the server answers to the state: what it sees in the query, and the results.
import { effect, signal } from "@preact/signals";
import type { Attainability, DescribeResponse, HeadWeight, PersonaliseResponse, SearchPlan, SearchResult } from "@lapel/client/v1";
import { Code, LapelError } from "@lapel/client";
import { failure, lapel, timed } from "../api";
import { catalog } from "../catalog";
import { awaited } from "../load";
import { personaliseOf, queryOf, searchOf, sourceOf } from "./ask";
import { search, type SearchState } from "./state";

export interface Ranked {
  readonly result: SearchResult;
  /** The group's value, for people; empty without groups. */
  readonly group: string;
}

export interface Answer {
  /** The query that it is of. Until there is another answer, it stays on the screen. */
  readonly query: string;
  readonly ranked: readonly Ranked[];
  readonly weights: readonly HeadWeight[];
  readonly plan: SearchPlan | undefined;
  readonly attainability: Attainability | undefined;
  /** Items that pass the filters; not known of picks. */
  readonly passing: bigint | undefined;
  readonly generation: bigint;
  readonly ms: number;
  /** How the picks led to the weights. */
  readonly picks: PersonaliseResponse | undefined;
  /** The weights that were asked for; `undefined`: each head's own, or the profile's. */
  readonly asked: Readonly<Record<string, number>> | undefined;
}

/** What the server sees in the query. */
export const seen = signal<DescribeResponse | undefined>(undefined);
export const answer = signal<Answer | undefined>(undefined);
export const error = signal<LapelError | undefined>(undefined);
export const busy = signal(false);

// The query that `seen` is of.
let seenOf = "";
// What the weights are without factors, and of which search: they follow the query, its edits and its profile.
let plain: { of: string; weights: readonly HeadWeight[] } | undefined;

/** Searches for what the state says. */
async function run(state: SearchState, signal: AbortSignal): Promise<void> {
  let looking: Promise<void> | undefined;
  if (seenOf !== state.query) {
    seen.value = undefined;
    seenOf = "";
    plain = undefined;
    if (state.query !== "") looking = look(state.query, signal);
  }
  // A photo is searched for by the signatures that are seen in it, an item without.
  if (state.query.startsWith("photo:")) await looking;
  // Its error is told below, or by the search, which comes to the same.
  looking?.catch(() => {});
  const next = await answered(state, signal);
  signal.throwIfAborted();
  answer.value = next;
  await looking;
}

async function look(query: string, signal: AbortSignal): Promise<void> {
  const found = await describe(query, signal);
  signal.throwIfAborted();
  seen.value = found;
  seenOf = query;
}

async function answered(state: SearchState, signal: AbortSignal): Promise<Answer | undefined> {
  if (state.liked.length > 0) return await picked(state, signal);
  return state.query === "" ? undefined : await searched(state, signal);
}

/** What the server sees in the query; nothing in an item without a picture. */
async function describe(query: string, signal: AbortSignal): Promise<DescribeResponse | undefined> {
  const source = sourceOf(query);
  if (!source) throw new LapelError(new Error("this photo is not in this session any more: drop it again"));
  const request = { source, includeSignatures: source.case === "image", labelsMax: 1000 };
  try {
    return (await timed("Describe", () => lapel.search.describe(request, { signal }))).answer;
  } catch (cause) {
    if (source.case === "itemId" && failure(cause).code === Code.FailedPrecondition) return undefined;
    throw cause;
  }
}

async function picked(state: SearchState, signal: AbortSignal): Promise<Answer> {
  const request = personaliseOf(state, queryOf(state, seen.value));
  const { answer, ms } = await timed("Personalise", () => lapel.feedback.personalise(request, { signal }));
  const ranked = answer.results.map((result) => ({ result, group: "" }));
  const { plan, generation, headWeights: weights } = answer;
  const { query } = state;
  return { query, ranked, weights, plan, generation, ms, attainability: undefined, passing: undefined, picks: answer, asked: undefined };
}

async function searched(state: SearchState, signal: AbortSignal): Promise<Answer> {
  const asked = await weightsOf(state, signal);
  const request = searchOf(state, queryOf(state, seen.value), asked);
  const { answer, ms } = await timed("Search", () => lapel.search.search(request, { signal }));
  const grouped = answer.groups.flatMap(({ value, results }) =>
    results.map((result) => ({ result, group: value?.kind.value === undefined ? "none" : `${value.kind.value}` })),
  );
  const ranked = state.group === "" ? answer.results.map((result) => ({ result, group: "" })) : grouped;
  const { plan, generation, attainability, headWeights: weights, itemsPassing: passing } = answer;
  return { query: state.query, ranked, weights, plan, generation, ms, attainability, passing, picks: undefined, asked };
}

/** The weights of a search: those it would have by itself, times the factors; `undefined` where there are none. */
export async function weightsOf(state: SearchState, signal: AbortSignal): Promise<Record<string, number> | undefined> {
  if (Object.values(state.factors).every((factor) => factor === 1)) return undefined;
  const of = JSON.stringify([state.query, state.edits, state.profile]);
  if (plain?.of !== of) {
    const request = searchOf({ ...state, k: 1, group: "", relevance: 1 }, queryOf(state, seen.value));
    plain = { of, weights: (await lapel.search.search(request, { signal })).headWeights };
  }
  return Object.fromEntries(plain.weights.map(({ head, weight }) => [head, weight * (state.factors[head] ?? 1)]));
}

// One search at a time: a slider that moves on is answered once the search before has come back, so that something is
// painted all the while. Another query does not wait.
let running: { query: string; ending: AbortController } | undefined;
let again = false;

async function refresh(): Promise<void> {
  const state = search.peek();
  if (running) {
    again = true;
    if (running.query !== state.query) running.ending.abort();
    return;
  }
  again = false;
  const ending = new AbortController();
  running = { query: state.query, ending };
  busy.value = true;
  try {
    await awaited(run(state, ending.signal));
    error.value = undefined;
  } catch (cause) {
    const failed = failure(cause);
    if (failed.code !== Code.Canceled) {
      error.value = failed;
      if (answer.peek()?.query !== state.query) answer.value = undefined;
    }
  } finally {
    running = undefined;
    if (again) void refresh();
    else busy.value = false;
  }
}

/** Asks again, also what the query shows: heads or items have changed. */
export function askAgain(): void {
  seenOf = "";
  void refresh();
}

let asked = "";
let generation: bigint | undefined;
effect(() => {
  if (!catalog.value) return;
  // Other heads see something else in the same photo.
  if (generation !== catalog.value.stats.generation) {
    generation = catalog.value.stats.generation;
    seenOf = "";
    asked = "";
  }
  // What is looked at does not change what is found.
  const { open: _, ...wanted } = search.value;
  const key = JSON.stringify(wanted);
  if (key === asked) return;
  asked = key;
  void refresh();
});
