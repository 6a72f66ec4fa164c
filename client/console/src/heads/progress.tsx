// Heads and generations that are being built, followed until they are whole.
import { useEffect, useState } from "preact/hooks";
import { HeadState, type BackfillProgress } from "@lapel/client/v1";
import { Code } from "@lapel/client";
import { failure } from "../api";
import { count } from "../numbers";

// Until what could not be followed is asked for again.
const AGAIN_MS = 2000;
const GOING_ON = [HeadState.REGISTERING, HeadState.VALIDATING, HeadState.WARMING, HeadState.BACKFILLING, HeadState.DRAINING];

export function goesOn(state: HeadState): boolean {
  return GOING_ON.includes(state);
}

/** What was listed as it is now, followed by `watch` while something goes on; `changed` is called once nothing does. */
export function useFollowed<T extends { state: HeadState }>(
  listed: T,
  watch: (signal: AbortSignal) => AsyncIterable<T | undefined>,
  changed: () => void,
): T {
  const [now, setNow] = useState(listed);
  useEffect(() => {
    setNow(listed);
    if (!goesOn(listed.state)) return;
    const ending = new AbortController();
    const follow = async () => {
      for await (const next of watch(ending.signal)) if (next) setNow(next);
      changed();
    };
    let again: ReturnType<typeof setTimeout> | undefined;
    follow().catch((cause: unknown) => {
      if (failure(cause).code !== Code.Canceled) again = setTimeout(changed, AGAIN_MS);
    });
    return () => {
      ending.abort();
      clearTimeout(again);
    };
  }, [listed]);
  return now;
}

/** A state, and how far it has come. */
export function State({ of }: { of: { state: HeadState; failure: string; backfill?: BackfillProgress | undefined } }) {
  const { state, failure: why, backfill } = of;
  const name = HeadState[state].toLowerCase();
  return (
    <>
      <span class={`state ${name}`}>{name}</span>
      {backfill && goesOn(state) && <Backfill progress={backfill} />}
      {why && <p class="bad">{why}</p>}
    </>
  );
}

function Backfill({ progress }: { progress: BackfillProgress }) {
  const { itemsDone, itemsTotal, itemsPerSecond, secondsLeft } = progress;
  return (
    <label class="backfill">
      <progress max={Number(itemsTotal) || 1} value={Number(itemsDone)} />
      <small>
        {count(itemsDone)} of {count(itemsTotal)}, {itemsPerSecond.toFixed(0)} a second
        {secondsLeft === undefined ? "" : `, ${Math.ceil(secondsLeft)} s left`}
      </small>
    </label>
  );
}
