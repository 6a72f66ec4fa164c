// A relay before the server that fails as a network or a restarting server does.
import { connect, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";

export interface Relay {
  readonly url: string;
  /** Paths of the calls that came, refused ones included. */
  readonly calls: string[];
  /** How many of the next calls are answered with UNAVAILABLE; they reach the server where `afterwards` is set. */
  refuse(number: number, afterwards?: boolean): void;
  stop(): Promise<void>;
}

/** Starts a relay before a server. */
export async function relay(target: string): Promise<Relay> {
  const upstream = connect(target);
  const calls: string[] = [];
  let refused = 0;
  let reached = false;
  const server: Http2Server = createServer();
  server.on("stream", (stream, headers) => {
    calls.push(headers[":path"] ?? "");
    const refusing = refused > 0;
    if (refusing) refused -= 1;
    if (refusing && !reached) return unavailable(stream);
    const forward = upstream.request(headers);
    stream.pipe(forward);
    if (refusing) {
      // The server has done its work, and its answer is lost.
      forward.resume();
      forward.on("end", () => unavailable(stream));
      return;
    }
    forward.on("response", (answer) => stream.respond(answer, { waitForTrailers: true }));
    let trailers = {};
    forward.on("trailers", (came) => (trailers = came));
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    forward.pipe(stream);
    stream.on("error", () => forward.close());
    forward.on("error", () => stream.close());
    stream.on("close", () => forward.close());
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    refuse(number, afterwards = false) {
      calls.length = 0;
      refused = number;
      reached = afterwards;
    },
    async stop() {
      upstream.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function unavailable(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "14", "grpc-message": "going down" }, { endStream: true });
}
