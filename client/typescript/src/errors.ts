// Errors of the server, with their details.
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

export { Code };

/** One field's fault. */
export interface FieldFault {
  /** The field's path, e.g. `filter.all[1].field.range`; empty for "and 2 more". */
  readonly field: string;
  /** What would be right. */
  readonly description: string;
}

/** Why a call failed. Every method of the clients throws it, and nothing else. */
export class LapelError extends Error {
  override readonly name = "LapelError";
  /** The gRPC status code. */
  readonly code: Code;
  /** A stable reason, UPPER_SNAKE; empty where the server gives none. */
  readonly reason: string;
  /** What belongs to the reason, by name. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every field that is at fault. */
  readonly faults: readonly FieldFault[];
  /** When to try again, in milliseconds; `undefined` where the server does not say. */
  readonly retryAfterMs: number | undefined;

  /**
   * Reads the details of a failed call. `signal` is its caller's: where that has not ended the call, a connection that could not
   * be made, or broke, is UNAVAILABLE.
   */
  constructor(cause: unknown, signal?: AbortSignal) {
    const error = ConnectError.from(cause);
    super(error.rawMessage, { cause });
    this.code = !signal?.aborted && isBroken(cause) ? Code.Unavailable : error.code;
    const [info] = error.findDetails(ErrorInfoSchema);
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    this.faults = error.findDetails(BadRequestSchema).flatMap((bad) =>
      bad.fieldViolations.map(({ field, description }) => ({ field, description })),
    );
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.retryAfterMs = delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }

  /** The code's name as gRPC writes it, e.g. `NOT_FOUND`. */
  get status(): string {
    return Code[this.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
  }
}

/** Whether a connection failed: `fetch` throws a TypeError, Node.js says that the stream was cancelled or aborted. */
function isBroken(cause: unknown): boolean {
  if (!(cause instanceof ConnectError) || cause.metadata.has("grpc-status")) return false;
  return cause.code === Code.Canceled || cause.code === Code.Aborted || cause.cause instanceof TypeError;
}
