// What calls fail with over both transports, and when they are tried again: seen by relays before the real server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { Code, LapelError, like, type Lapel } from "../src/index.js";
import { connect } from "../src/node.js";
import { SaveProfileRequestSchema } from "../src/v1.js";
import { connect as connectFromBrowser } from "../src/web.js";
import { all, failureOf } from "./failures.js";
import { relay, webRelay, type Relay } from "./relay.js";
import { dress, fill, start, wardrobe, type Server } from "./server.js";

// One in so many of the demo's photos.
const STEP = 100;
// Until a server has heard that a caller left; much longer than it takes.
const WAIT_MS = 10_000;

let server: Server;
let photo: Uint8Array;

before(async () => {
  server = await start({ limits__streams_max: "4" });
  photo = await dress();
  await fill(server.url, await wardrobe(STEP));
});

after(async () => {
  await server?.stop();
});

test("every status has the name that gRPC gives it", () => {
  const names = `CANCELED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED
    FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED`.split(/\s+/);
  const statuses = names.map((_, at) => new LapelError(new ConnectError("", at + 1, { "grpc-status": `${at + 1}` })).status);
  assert.deepEqual(statuses, names);
});

const TRANSPORTS = [
  { name: "gRPC", connect, relay },
  { name: "gRPC-web", connect: connectFromBrowser, relay: webRelay },
];

for (const { name, connect, relay } of TRANSPORTS) {
  describe(name, () => {
    let between: Relay;
    let lapel: Lapel;
    let relayed: Lapel;

    before(async () => {
      between = await relay(server.url);
      lapel = connect({ baseUrl: server.url });
      relayed = connect({ baseUrl: between.url });
    });

    after(async () => {
      await between?.stop();
    });

    test("every field that is at fault is told at once", async () => {
      const manipulations = [{ attribute: "colour", label: "red" }];
      const weighting = { case: "weights", value: { byHead: { fitt: 1 } } } as const;
      const request = { query: like("nothing"), k: 0, distanceMax: -1, manipulations, weighting };
      const error = await failureOf(lapel.search.search(request));
      assert.deepEqual([error.code, error.status, error.reason], [Code.InvalidArgument, "INVALID_ARGUMENT", "INVALID_FIELD"]);
      const fields = error.faults.map(({ field }) => field).sort();
      assert.deepEqual(fields, ["distance_max", "k", "manipulations[0].attribute", "query.item_id", "weights.by_head[fitt]"]);
      assert(error.faults.every(({ description }) => description !== "") && error.message !== "");
      const notFound = await failureOf(lapel.search.search({ ...request, k: 1, distanceMax: 1 }));
      assert.equal(notFound.status, "NOT_FOUND");
      assert.equal(notFound.faults.length, 3);
    });

    test("facts behind a reason are told, of a stream too", async () => {
      const filters = [{ attribute: "category", labels: ["dres"] }];
      const error = await failureOf(lapel.catalog.listItems({ filters }));
      assert.deepEqual([error.reason, error.metadata.name, error.retryAfterMs], ["NOT_FOUND", "dres", undefined]);
      assert.match(error.message, /dress/);
      const watch = await failureOf(all(lapel.heads.watchHead({ name: "nothing" })));
      assert.deepEqual([watch.status, watch.reason], ["NOT_FOUND", "NOT_FOUND"]);
    });

    test("reads are tried again where the server was not reached, and no more than allowed", async () => {
      const { items } = await lapel.catalog.countItems({});
      for (const fault of [{}, { cut: true }, { cut: true, afterwards: true }]) {
        between.fail(1, fault);
        assert.equal((await relayed.catalog.countItems({})).items, items);
        assert.equal(between.calls.length, 2, JSON.stringify(fault));
      }
      between.fail(10);
      assert.equal((await failureOf(relayed.catalog.countItems({}))).status, "UNAVAILABLE");
      assert.equal(between.calls.length, 4);
      between.fail(10, { cut: true });
      assert.equal((await failureOf(connect({ baseUrl: between.url, attemptsMax: 1 }).catalog.countItems({}))).status, "UNAVAILABLE");
      assert.equal(between.calls.length, 1);
      between.fail(0);
    });

    test("nobody there is UNAVAILABLE", async () => {
      const nobody = await relay(server.url);
      await nobody.stop();
      const gone = connect({ baseUrl: nobody.url, attemptsMax: 2 });
      assert.equal((await failureOf(gone.catalog.countItems({}))).status, "UNAVAILABLE");
    });

    test("what the server is at fault for is not tried again", async () => {
      for (const code of [Code.Internal, Code.Aborted, Code.ResourceExhausted]) {
        between.fail(1, { code });
        assert.equal((await failureOf(relayed.catalog.countItems({}))).code, code);
        assert.equal(between.calls.length, 1);
      }
    });

    test("the server says when to try again, and is not asked before", async () => {
      const code = Code.ResourceExhausted;
      between.fail(1, { code, retryAfterMs: 300 });
      const startMs = performance.now();
      await relayed.catalog.countItems({});
      assert(performance.now() - startMs >= 299 && between.calls.length === 2);
      // It would come too late, so that nobody waits for it.
      between.fail(1, { code, retryAfterMs: 60_500 });
      const error = await failureOf(relayed.catalog.countItems({}, { timeoutMs: 5_000 }));
      assert.deepEqual([error.code, error.retryAfterMs], [code, 60_500]);
      assert(performance.now() - startMs < 4_000);
    });

    test("a mutation whose answer was lost is repeated, and happens once", async () => {
      // Sent again by its caller, it is another one.
      const request = create(SaveProfileRequestSchema, { name: "once", weights: { color: 2 } });
      for (const [at, fault] of [{}, { cut: true }].entries()) {
        between.fail(1, { ...fault, afterwards: true });
        request.weights.color = 2 + at;
        const { profile } = await relayed.feedback.saveProfile(request);
        assert.deepEqual([between.calls.length, profile?.version], [2, BigInt(at + 1)]);
      }
      assert.equal(request.requestId, "");
      between.fail(1, { afterwards: true });
      await relayed.feedback.deleteProfile({ name: "once" });
      between.fail(1, { afterwards: true });
      assert.equal((await relayed.catalog.upsertItem({ item: { id: "once", image: photo } })).replaced, false);
      assert.equal(between.calls.length, 2);
      between.fail(1, { afterwards: true });
      assert.equal((await relayed.catalog.deleteItems({ ids: ["once"] })).deleted, 1n);
    });

    test("streams are not repeated", async () => {
      for (const fault of [{}, { cut: true }]) {
        between.fail(1, fault);
        assert.equal((await failureOf(all(relayed.catalog.exportItems({ noImages: true })))).status, "UNAVAILABLE");
        assert.equal(between.calls.length, 1);
      }
    });

    test("a deadline holds for all attempts, and is the client's or the call's", async () => {
      between.fail(9);
      const startMs = performance.now();
      await failureOf(connect({ baseUrl: between.url, attemptsMax: 99, timeoutMs: 400 }).catalog.countItems({}));
      assert(performance.now() - startMs < 2_000 && between.calls.length < 5);
      assert.equal(between.calls[0]?.headers["grpc-timeout"], "400m");
      between.fail(0);
      await relayed.catalog.countItems({});
      await relayed.catalog.countItems({}, { timeoutMs: 2_500 });
      await all(relayed.catalog.exportItems({ noImages: true }));
      const timeouts = between.calls.map(({ headers }) => headers["grpc-timeout"]);
      assert.deepEqual(timeouts, ["30000m", "2500m", undefined]);
      for (const call of [
        connect({ baseUrl: server.url, timeoutMs: 1 }).search.search({ query: like(photo), k: 1 }),
        all(lapel.admin.backup({}, { timeoutMs: 1 })),
      ]) {
        assert.equal((await failureOf(call)).status, "DEADLINE_EXCEEDED");
      }
    });

    test("a token goes with every call, and is asked for each time", async () => {
      let asked = 0;
      const tokens = [undefined, "first", "second"];
      const client = connect({ baseUrl: between.url, token: async () => tokens[asked++] });
      between.fail(0);
      await client.catalog.countItems({});
      await all(client.catalog.exportItems({ noImages: true }));
      await client.catalog.countItems({});
      await connect({ baseUrl: between.url, token: "fixed" }).catalog.countItems({});
      const seen = between.calls.map(({ headers }) => headers.authorization);
      assert.deepEqual(seen, [undefined, "Bearer first", "Bearer second", "Bearer fixed"]);
    });

    test("a call that is given up is CANCELED, before it begins and between attempts, too", async () => {
      const ending = new AbortController();
      const { signal } = ending;
      between.fail(1, { retryAfterMs: 20_000 });
      const waiting = failureOf(relayed.catalog.countItems({}, { signal }));
      while (between.calls.length === 0) await new Promise((done) => setTimeout(done, 5));
      const called = failureOf(lapel.search.search({ query: like(photo), k: 1 }, { signal }));
      ending.abort();
      for (const error of await Promise.all([waiting, called])) assert.equal(error.status, "CANCELED");
      assert.equal((await failureOf(lapel.catalog.countItems({}, { signal }))).status, "CANCELED");
      assert.equal((await failureOf(all(lapel.catalog.exportItems({}, { signal })))).status, "CANCELED");
    });

    test("streams that are not read to their end are given up, and the server is free of them", async () => {
      // More than it has places for, one after the other.
      for (let stream = 0; stream < 6; stream++) {
        await withRoom(async () => {
          const ending = new AbortController();
          const pieces = lapel.admin.backup({}, { signal: ending.signal });
          if (stream % 2 === 0) {
            for await (const { chunk } of pieces) if (chunk.length > 0) break;
          } else {
            const iterator = pieces[Symbol.asyncIterator]();
            await iterator.next();
            ending.abort();
            assert.equal((await failureOf(all({ [Symbol.asyncIterator]: () => iterator }))).status, "CANCELED");
          }
        });
        await idle();
      }
      assert((await withRoom(() => all(lapel.admin.backup({})))).length > 1);
    });
  });
}

test("an upload that is given up frees the server", async () => {
  const lapel = connect({ baseUrl: server.url });
  for (let stream = 0; stream < 4; stream++) {
    const ending = new AbortController();
    const item = { id: "standing", image: photo };
    const standing = async function* () {
      yield { item };
      await new Promise(() => {});
    };
    const answers = lapel.catalog.upsertItemsStream(standing(), { signal: ending.signal })[Symbol.asyncIterator]();
    assert.equal((await answers.next()).value?.results[0]?.error, undefined);
    assert.equal(await server.inFlight(), 1);
    if (stream % 2 === 0) ending.abort();
    else await answers.return?.();
    await idle();
  }
  await lapel.catalog.deleteItems({ ids: ["standing"] });
});

/** Tries again while there is no room: what the server did for one that was given up ends a moment after its answer has. */
async function withRoom<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof LapelError) || cause.status !== "RESOURCE_EXHAUSTED") throw cause;
      await new Promise((done) => setTimeout(done, 5));
    }
  }
}

/** Waits until the server has no request any more. */
async function idle(): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while ((await server.inFlight()) > 0) {
    assert(performance.now() < endMs, "the server still works for a caller that has left");
    await new Promise((done) => setTimeout(done, 10));
  }
}
