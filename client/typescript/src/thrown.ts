// Clients that throw LapelError.
import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { LapelError } from "./errors.js";

/**
 * The same client, whose methods throw `LapelError`. An interceptor cannot do this: what it throws is made a `ConnectError`
 * again before the caller sees it.
 */
export function thrownAsLapelErrors<S extends DescService>(service: S, client: Client<S>): Client<S> {
  const methods = client as Record<string, (...args: unknown[]) => Promise<unknown> | AsyncIterable<unknown>>;
  const wrapped: typeof methods = {};
  for (const { localName } of service.methods) {
    const method = methods[localName];
    if (method === undefined) continue;
    wrapped[localName] = (...args) => {
      const answer = method(...args);
      return answer instanceof Promise ? answer.catch(rethrow) : rethrown(answer);
    };
  }
  return wrapped as Client<S>;
}

function rethrow(cause: unknown): never {
  throw new LapelError(cause);
}

async function* rethrown<T>(answers: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* answers;
  } catch (cause) {
    rethrow(cause);
  }
}
