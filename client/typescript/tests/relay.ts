// Relays before the server that fail as a network or a restarting server does: one of HTTP/2, for gRPC, and one of HTTP/1.1, for
// gRPC-web.
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";

/** What befalls a call. */
export interface Fault {
  /** The status that it is answered with: UNAVAILABLE. */
  readonly code?: Code;
  /** What its RetryInfo says, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Whether the server gets the call all the same, and its answer alone is lost. */
  readonly afterwards?: boolean;
  /** Whether the connection is cut instead. */
  readonly cut?: boolean;
}

/** A call as it came. */
export interface Call {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  /** Bytes of its messages so far. */
  sentBytes: number;
}

export interface Relay {
  readonly url: string;
  /** The calls that came since the last `fail`, failed ones included. */
  readonly calls: readonly Call[];
  /** Lets the next calls fail, so many of them; forgets those that came. */
  fail(times: number, fault?: Fault): void;
  /** Cuts the connections that there are. */
  cut(): void;
  stop(): Promise<void>;
}

/** What both relays have. */
class Faults {
  readonly calls: Call[] = [];
  private readonly sockets = new Set<Socket>();
  private times = 0;
  private fault: Fault = {};

  /** Notes a call, and says what befalls it. */
  next(path: string, headers: http.IncomingHttpHeaders, messages: NodeJS.EventEmitter): Fault | undefined {
    const call: Call = { path, headers, sentBytes: 0 };
    messages.on("data", (bytes: Uint8Array) => (call.sentBytes += bytes.length));
    this.calls.push(call);
    this.times -= 1;
    return this.times >= 0 ? this.fault : undefined;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Starts a relay. */
  async serve(server: Server, end: () => void): Promise<Relay> {
    server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    const { port } = server.address() as AddressInfo;
    return {
      url: `http://127.0.0.1:${port}`,
      calls: this.calls,
      fail: (times, fault = {}) => {
        this.calls.length = 0;
        this.times = times;
        this.fault = fault;
      },
      cut: () => this.cut(),
      stop: async () => {
        end();
        this.cut();
        await new Promise((done) => server.close(done));
      },
    };
  }
}

/** Starts a relay of gRPC. */
export async function relay(target: string): Promise<Relay> {
  const faults = new Faults();
  const upstream = http2.connect(target);
  const server = http2.createServer();
  server.on("stream", (stream, headers) => {
    const fault = faults.next(headers[":path"] ?? "", headers, stream);
    stream.on("error", () => {});
    const fail = (fault: Fault) => {
      if (fault.cut) return faults.cut();
      stream.respond({ ":status": 200, "content-type": "application/grpc", ...status(fault) }, { endStream: true });
    };
    if (fault && !fault.afterwards) return fail(fault);
    const forward = upstream.request(headers);
    forward.on("error", () => stream.close());
    stream.pipe(forward);
    if (fault) {
      forward.resume();
      forward.on("end", () => fail(fault));
      return;
    }
    forward.on("response", (answer) => stream.respond(answer, { waitForTrailers: true }));
    let trailers = {};
    forward.on("trailers", (came) => (trailers = came));
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    forward.pipe(stream);
    stream.on("close", () => forward.close(http2.constants.NGHTTP2_CANCEL));
  });
  return await faults.serve(server, () => upstream.destroy());
}

/** Starts a relay of gRPC-web. */
export async function webRelay(target: string): Promise<Relay> {
  const faults = new Faults();
  const server = http.createServer((request, response) => {
    const fault = faults.next(request.url ?? "", request.headers, request);
    const fail = (fault: Fault) => {
      if (fault.cut) return faults.cut();
      response.writeHead(200, { "content-type": "application/grpc-web+proto", ...status(fault) }).end();
    };
    if (fault && !fault.afterwards) return fail(fault);
    const forward = http.request(`${target}${request.url}`, { method: request.method, headers: request.headers }, (answer) => {
      if (fault) return answer.resume().on("end", () => fail(fault));
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    forward.on("error", () => response.destroy());
    response.on("close", () => forward.destroy());
    request.pipe(forward);
  });
  return await faults.serve(server, () => {});
}

/** The headers of a status. */
function status({ code = Code.Unavailable, retryAfterMs }: Fault): Record<string, string> {
  const retryDelay = { seconds: BigInt(Math.trunc((retryAfterMs ?? 0) / 1000)), nanos: ((retryAfterMs ?? 0) % 1000) * 1e6 };
  const details = retryAfterMs === undefined ? [] : [{ desc: RetryInfoSchema, value: { retryDelay } }];
  return Object.fromEntries(setTrailerStatus(new Headers(), new ConnectError("injected", code, undefined, details)));
}
