// What every call passes through: the token, errors with their details, retries.
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { LapelError } from "./errors.js";
import { isRepeatable, withRequestId } from "./repeatable.js";

/** A token, or what gives one when it is asked, `undefined` for none. */
export type Token = string | (() => string | undefined | Promise<string | undefined>);

/** Sends a token with every call. */
export function authorised(token: Token): Interceptor {
  return (next) => async (request) => {
    const secret = typeof token === "string" ? token : await token();
    if (secret) request.header.set("authorization", `Bearer ${secret}`);
    return await next(request);
  };
}

/**
 * Repeats a unary call that the server could not take (UNAVAILABLE, or RESOURCE_EXHAUSTED with a time to try again), where
 * repeating it is safe, within the call's deadline: what would come after it is not waited for. Mutations get a request id,
 * which makes them safe.
 */
export function retried(attemptsMax: number): Interceptor {
  return (next) => async (given) => {
    if (given.stream) return await next(given);
    const request = { ...given, message: withRequestId(given.message) };
    const repeatable = isRepeatable(request.method, request.message);
    const endMs = performance.now() + timeoutMs(request.header);
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request);
      } catch (cause) {
        const delayMs = retryDelayMs(new LapelError(ConnectError.from(cause), request.signal), attempt);
        if (!repeatable || attempt >= attemptsMax || delayMs === undefined || request.signal.aborted) throw cause;
        if (performance.now() + delayMs > endMs) throw cause;
        await pause(delayMs, request.signal);
      }
    }
  };
}

/** How long a call may take, as its header says. */
function timeoutMs(header: Headers): number {
  const timeout = header.get("grpc-timeout");
  return timeout === null ? Infinity : Number.parseInt(timeout, 10);
}

/** How long to wait before the next attempt, with jitter so that callers do not come back together; `undefined`: do not. */
export function retryDelayMs(error: LapelError, attempt: number): number | undefined {
  if (error.code === Code.ResourceExhausted && error.retryAfterMs === undefined) return undefined;
  if (error.code !== Code.ResourceExhausted && error.code !== Code.Unavailable) return undefined;
  const backoffMs = 100 * 2 ** (attempt - 1) * (0.5 + Math.random());
  return Math.max(backoffMs, error.retryAfterMs ?? 0);
}

/** Waits, or rejects once the signal is aborted. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = () => {
      clearTimeout(timer);
      reject(ConnectError.from(signal.reason, Code.Canceled));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", ended);
      resolve();
    }, delayMs);
    signal.addEventListener("abort", ended, { once: true });
  });
}
