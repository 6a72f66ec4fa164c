// Every method over both transports, on the real server.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Lapel } from "../src/index.js";
import { connect } from "../src/node.js";
import { connect as connectFromBrowser } from "../src/web.js";
import { catalogMethods } from "./methods/catalog.js";
import { feedbackMethods } from "./methods/feedback.js";
import { generationMethods } from "./methods/generations.js";
import { headMethods } from "./methods/heads.js";
import { searchMethods } from "./methods/search.js";
import type { Shop } from "./methods/shop.js";
import { FILES, Recorder } from "./recorder.js";
import { ROOT, dress, fill, start, wardrobe, type DemoItem, type Server } from "./server.js";

// One in so many of the demo's photos.
const STEP = 28;
const BOTTOMS = ["jean", "shorts", "skirt", "trouser"];

let server: Server;
let items: DemoItem[];
let photo: Uint8Array;

before(async () => {
  // On a machine that is busy a head takes longer than it may by default.
  server = await start({ limits__head_ms_max: "10000" });
  photo = await dress();
  items = (await wardrobe(STEP)).map((item, at) => ({ ...item, labels: { ...item.labels, ...partOf(item, at) } }));
  await fill(server.url, items);
});

after(async () => {
  await server?.stop();
});

/** What a head is taught from: a label that one item in five lacks. */
function partOf({ labels }: DemoItem, at: number): Record<string, string> {
  if (at % 5 === 4) return {};
  return { part: BOTTOMS.includes(labels.category ?? "") ? "bottom" : "top" };
}

const TRANSPORTS = [
  { name: "gRPC", connect, kinds: ["unary", "server_streaming", "client_streaming", "bidi_streaming"] },
  { name: "gRPC-web", connect: connectFromBrowser, kinds: ["unary", "server_streaming"] },
] as const;

for (const { name, connect, kinds } of TRANSPORTS) {
  describe(name, () => {
    const recorder = new Recorder();
    let lapel: Lapel;
    before(() => {
      lapel = recorder.over(connect({ baseUrl: server.url }));
    });
    const shop = (): Shop => ({ lapel, items, photo, streamsRequests: kinds.length > 2 });
    describe("search", () => searchMethods(shop));
    describe("catalog", () => catalogMethods(shop));
    describe("feedback", () => feedbackMethods(shop));
    describe("heads", () => headMethods(shop));
    describe("generations", () => generationMethods(shop));
    test("no method was left out", () => assert.deepEqual(recorder.missing(...kinds), []));
  });
}

test("the client has every file of the protocol, and a client for each service", async () => {
  const there = await readdir(join(ROOT, "proto/lapel/v1"));
  assert.deepEqual(FILES.map(({ proto }) => proto.name).sort(), there.map((name) => `lapel/v1/${name}`).sort());
  assert.equal(FILES.flatMap(({ services }) => services).length, Object.keys(connect({ baseUrl: server.url })).length);
});
