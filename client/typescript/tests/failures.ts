// What calls fail with.
import assert from "node:assert/strict";
import { LapelError } from "../src/index.js";

/** The error that a call must fail with. */
export async function failureOf(call: Promise<unknown>): Promise<LapelError> {
  const error: unknown = await call.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert(error instanceof LapelError, `no LapelError: ${error}`);
  return error;
}

/** Reads a stream to its end, and gives what came. */
export async function all<T>(answers: AsyncIterable<T>): Promise<T[]> {
  const came: T[] = [];
  for await (const answer of answers) came.push(answer);
  return came;
}
