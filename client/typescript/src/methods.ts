// Methods as callers meet them: with a deadline by default, and LapelError where they fail.
import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import { LapelError } from "./errors.js";

type Method = (request: unknown, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

/**
 * The same client with these methods. Interceptors cannot do it: what they throw is made a `ConnectError` again before the
 * caller sees it, and a transport's deadline is for streams, too.
 */
export function methodsOf<S extends DescService>(service: S, client: Client<S>, timeoutMs: number): Client<S> {
  const methods = client as Record<string, Method>;
  const wrapped: Record<string, Method> = {};
  for (const { localName, methodKind } of service.methods) {
    const method = methods[localName];
    if (method === undefined) continue;
    const byDefault = methodKind === "unary" ? { timeoutMs } : {};
    wrapped[localName] = (request, options) => {
      const answer = method(request, { ...byDefault, ...options });
      const { signal } = options ?? {};
      if (!(answer instanceof Promise)) return rethrown(answer, signal);
      return answer.catch((cause: unknown) => {
        throw new LapelError(cause, signal);
      });
    };
  }
  return wrapped as Client<S>;
}

async function* rethrown<T>(answers: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
  try {
    yield* answers;
  } catch (cause) {
    throw new LapelError(cause, signal);
  }
}
