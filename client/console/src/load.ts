// What a component shows of its calls: an answer, an error, or that one goes on.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { Code, type LapelError } from "@lapel/client";
import { failure } from "./api";

/** Calls that somebody waits for. */
export const pending = signal(0);

/** Counts a call among those that are waited for. */
export async function awaited<T>(call: Promise<T>): Promise<T> {
  // Not read: who calls from an effect is not to be called again by it.
  pending.value = pending.peek() + 1;
  try {
    return await call;
  } finally {
    pending.value = pending.peek() - 1;
  }
}

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: LapelError | undefined;
  readonly busy: boolean;
  readonly reload: () => void;
}

/** Calls whenever `key` changes; the call before is cancelled, and its answer stays on the screen until the next one. */
export function useLoaded<T>(key: string, call: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [shown, show] = useState<{ data?: T; error?: LapelError; busy: boolean }>({ busy: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const ending = new AbortController();
    show((before) => ({ ...before, busy: true }));
    awaited(call(ending.signal)).then(
      (data) => {
        if (!ending.signal.aborted) show({ data, busy: false });
      },
      (cause: unknown) => {
        const error = failure(cause);
        if (!ending.signal.aborted && error.code !== Code.Canceled) show((before) => ({ ...before, error, busy: false }));
      },
    );
    return () => ending.abort();
  }, [key, round]);
  return { data: shown.data, error: shown.error, busy: shown.busy, reload: () => setRound((before) => before + 1) };
}

export interface Action {
  /** Why the last one failed. */
  readonly error: LapelError | undefined;
  readonly busy: boolean;
  readonly act: (work: () => Promise<unknown>) => void;
}

/** What buttons do, one after the other; `done` is called behind each that succeeds. */
export function useAction(done: () => void = () => {}): Action {
  const [shown, show] = useState<{ error?: LapelError | undefined; busy: boolean }>({ busy: false });
  const waiting = useRef(0);
  const last = useRef<Promise<unknown>>(Promise.resolve());
  const act = (work: () => Promise<unknown>) => {
    waiting.current++;
    show(({ error, busy }) => ({ error: busy ? error : undefined, busy: true }));
    const ended = (failed?: LapelError) => {
      const busy = --waiting.current > 0;
      show(({ error }) => ({ error: failed ?? error, busy }));
    };
    last.current = last.current
      .then(() => awaited(work()))
      .then(
        () => {
          ended();
          done();
        },
        (cause: unknown) => ended(failure(cause)),
      );
  };
  return { error: shown.error, busy: shown.busy, act };
}
