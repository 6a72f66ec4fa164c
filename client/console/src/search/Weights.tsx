// How much each head counts: by sliders, by a profile, or by what was picked, with the reason.
import type { HeadWeight, PersonaliseResponse } from "@lapel/client/v1";
import { catalog } from "../catalog";
import { Meter } from "../Meter";
import { percent } from "../numbers";
import { answer } from "./model";
import { change, search } from "./state";
import { Profiles } from "./Profiles";

// A slider's range: from "off" over one third of a weight's power of two to eight times the weight.
const STEPS_MIN = -3;
const STEPS_MAX = 3;

function factorOf(step: number): number {
  return step <= STEPS_MIN ? 0 : Math.round(100 * 2 ** step) / 100;
}

function stepOf(factor: number): number {
  return factor <= 0 ? STEPS_MIN : Math.max(STEPS_MIN, Math.min(STEPS_MAX, Math.log2(factor)));
}

export function Weights() {
  const shown = answer.value;
  const { factors, query } = search.value;
  if (!shown && query === "") return null;
  const picks = shown?.picks;
  const byPicks = picks !== undefined && picks.replacedQueryItemId === "";
  const rows = rowsOf(shown?.weights, factors);
  const most = Math.max(...rows.map(({ weight }) => weight), 1e-9);
  // In the order of names, so that no slider moves from under the hand that holds it.
  rows.sort((a, b) => (byPicks ? b.weight - a.weight : a.head.localeCompare(b.head)));
  return (
    <section aria-labelledby="weights">
      <header class="bar">
        <h2 id="weights">Weights</h2>
        {Object.keys(factors).length > 0 && !picks && (
          <button class="plain" onClick={() => change({ factors: {} })}>
            Reset
          </button>
        )}
      </header>
      {picks && (
        <p class="quiet">
          {byPicks ? "From your picks, by the mean distances among liked and to disliked ones." : `${picks.replacedQueryItemId} is the query now; like one more, or dislike one, and weights follow.`}
        </p>
      )}
      <ul class="weights">
        {rows.map(({ head, weight, told }) => (
          <li key={head}>
            <span class="name">{head.replaceAll("_", " ")}</span>
            {picks ? <Meter share={weight / most} /> : <Slider head={head} factor={factors[head] ?? 1} />}
            <span class="number">{shown ? weight.toFixed(2) : ""}</span>
            <small class="quiet">{picks && byPicks ? pickReason(picks, head) : reason(told, factors[head])}</small>
          </li>
        ))}
      </ul>
      <Profiles />
    </section>
  );
}

interface Row {
  readonly head: string;
  readonly weight: number;
  /** What the server says of it; nothing of a head that is off, or before it has answered. */
  readonly told: HeadWeight | undefined;
}

/** Heads in play, and those that are off: they keep their sliders. */
function rowsOf(weights: readonly HeadWeight[] | undefined, factors: Readonly<Record<string, number>>): Row[] {
  if (!weights) return (catalog.value?.stats.heads ?? []).map(({ head }) => ({ head, weight: 0, told: undefined }));
  const rows: Row[] = weights.map((told) => ({ head: told.head, weight: told.weight, told }));
  const off = Object.keys(factors).filter((head) => factors[head] === 0 && !rows.some((row) => row.head === head));
  return [...rows, ...off.map((head) => ({ head, weight: 0, told: undefined }))];
}

function Slider({ head, factor }: { head: string; factor: number }) {
  const set = (input: HTMLInputElement, how: "step" | "passing") => {
    const { [head]: _, ...others } = search.value.factors;
    const next = factorOf(Number(input.value));
    change({ factors: next === 1 ? others : { ...others, [head]: next } }, how);
  };
  return (
    <input
      type="range"
      min={STEPS_MIN}
      max={STEPS_MAX}
      step="0.1"
      value={stepOf(factor)}
      aria-label={`how much ${head} counts`}
      aria-valuetext={factor === 0 ? "off" : `${factor} times`}
      onInput={(event) => set(event.currentTarget, "passing")}
      onChange={(event) => set(event.currentTarget, "step")}
    />
  );
}

/** What led to a weight. */
function reason(weight: HeadWeight | undefined, factor: number | undefined): string {
  if (factor !== undefined) return factor === 0 ? "off" : `× ${factor} by hand`;
  if (!weight) return "";
  if (weight.edited) return "changed";
  if (weight.confidence !== undefined) return `sure ${percent(weight.confidence)}`;
  return weight.givenWeight !== undefined && search.value.profile !== "" ? "profile" : "";
}

function pickReason(picks: PersonaliseResponse, head: string): string {
  const wanted = picks.wantedDistances[head];
  const unwanted = picks.unwantedDistances[head];
  const distances = [wanted === undefined ? "" : `liked ${wanted.toFixed(2)}`, unwanted === undefined ? "" : `disliked ${unwanted.toFixed(2)}`];
  return distances.filter((distance) => distance !== "").join(" · ");
}
