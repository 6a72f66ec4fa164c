// Node.js: gRPC over HTTP/2.
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { SecureClientSessionOptions } from "node:http2";
import { lapelOver, type Lapel, type Options } from "./index.js";

export * from "./upload.js";

/** Connects from Node.js. `tls`: a certificate authority (`ca`), and for mutual TLS `cert` and `key`. */
export function connect(options: Options & { readonly tls?: SecureClientSessionOptions }): Lapel {
  const { tls } = options;
  return lapelOver((given) => createGrpcTransport(tls ? { ...given, nodeOptions: tls } : given), options);
}
