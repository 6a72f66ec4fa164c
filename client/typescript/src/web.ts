// Browsers: gRPC-web. Methods whose requests are streams are not to be had; each has a twin of one message.
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { lapelOver, type Lapel, type Options } from "./index.js";

/** Connects from a browser. */
export function connect(options: Options): Lapel {
  return lapelOver(createGrpcWebTransport, options);
}
