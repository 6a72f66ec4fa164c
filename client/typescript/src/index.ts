// The client: one object with a typed client a service, over a transport of `@lapel/client/node` or `@lapel/client/web`.
import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";
import { authorised, retried, type Token } from "./interceptors.js";
import { methodsOf } from "./methods.js";
import * as v1 from "./v1.js";

export { Code, LapelError, type FieldFault } from "./errors.js";
export { newRequestId } from "./repeatable.js";
export type { Token } from "./interceptors.js";
export * from "./query.js";

/** How to reach a server. */
export interface Options {
  /** Where it is, e.g. `http://127.0.0.1:7700`; with its base path, where it has one. */
  readonly baseUrl: string;
  /** The token to send; none unless given. */
  readonly token?: Token;
  /**
   * How long a call of one answer may take with all its retries, in milliseconds, unless it says otherwise: 30 s. Streams, as
   * an upload or a watch, last until they say otherwise.
   */
  readonly timeoutMs?: number;
  /** How often a call that is safe to repeat is tried in all: 4 times. 1: it is not repeated. */
  readonly attemptsMax?: number;
}

/** A client a service; their methods and messages are documented where they are declared. */
export interface Lapel {
  readonly search: Client<typeof v1.SearchService>;
  readonly catalog: Client<typeof v1.CatalogService>;
  readonly feedback: Client<typeof v1.FeedbackService>;
  readonly heads: Client<typeof v1.HeadService>;
  readonly generations: Client<typeof v1.GenerationService>;
  readonly admin: Client<typeof v1.AdminService>;
}

/** What a transport is made with. */
export interface TransportOptions {
  readonly baseUrl: string;
  readonly interceptors: Interceptor[];
}

/** Makes a client over a transport. `@lapel/client/node` and `@lapel/client/web` have `connect`, which is all most need. */
export function lapelOver(transport: (options: TransportOptions) => Transport, options: Options): Lapel {
  const interceptors = [retried(options.attemptsMax ?? 4)];
  if (options.token !== undefined) interceptors.push(authorised(options.token));
  const { baseUrl, timeoutMs = 30_000 } = options;
  const over = transport({ baseUrl, interceptors });
  const client = <S extends DescService>(service: S) => methodsOf(service, createClient(service, over), timeoutMs);
  return {
    search: client(v1.SearchService),
    catalog: client(v1.CatalogService),
    feedback: client(v1.FeedbackService),
    heads: client(v1.HeadService),
    generations: client(v1.GenerationService),
    admin: client(v1.AdminService),
  };
}
