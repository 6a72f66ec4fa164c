// What a component shows of a call: its answer, its error, or that it goes on.
import { useEffect, useState } from "preact/hooks";
import { Code, type LapelError } from "@lapel/client";
import { failure } from "./api";

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
    call(ending.signal).then(
      (data) => {
        if (!ending.signal.aborted) show({ data, busy: false });
      },
      (cause: unknown) => {
        const error = failure(cause);
        if (error.code !== Code.Canceled) show((before) => ({ ...before, error, busy: false }));
      },
    );
    return () => ending.abort();
  }, [key, round]);
  return { data: shown.data, error: shown.error, busy: shown.busy, reload: () => setRound((before) => before + 1) };
}
