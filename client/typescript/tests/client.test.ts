// The client over the real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Code, LapelError, allOf, changed, labelled, like, type Lapel } from "../src/index.js";
import { connect } from "../src/node.js";
import { connect as connectFromBrowser } from "../src/web.js";
import { relay, type Relay } from "./relay.js";
import { dress, fill, start, wardrobe, type Server } from "./server.js";

// One in so many of the demo's photos.
const STEP = 14;

let server: Server;
let between: Relay;
let lapel: Lapel;
let relayed: Lapel;

before(async () => {
  server = await start();
  await fill(server.url, await wardrobe(STEP));
  between = await relay(server.url);
  lapel = connect({ baseUrl: server.url });
  relayed = connect({ baseUrl: between.url });
});

after(async () => {
  await between?.stop();
  await server?.stop();
});

/** The error that a call must fail with. */
async function failureOf(call: Promise<unknown>): Promise<LapelError> {
  const error: unknown = await call.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert(error instanceof LapelError, `no LapelError: ${error}`);
  return error;
}

test("a photo is described and searched for with an edit, and each distance is the sum of its terms", async () => {
  const query = like(await dress());
  const { attributes } = await lapel.search.describe({ source: query.source as { case: "image"; value: Uint8Array } });
  assert(attributes.some(({ attribute }) => attribute === "sleeve_length"));
  const answer = await lapel.search.search({
    query,
    manipulations: changed({ sleeve_length: "short" }),
    filter: allOf(labelled("category", "dress", "skirt", "blouse")),
    k: 3,
    explain: true,
  });
  assert(answer.results.length > 0 && answer.attainability !== undefined);
  for (const { distance, explanation } of answer.results) {
    const sum = explanation?.terms.reduce((total, { contribution }) => total + contribution, 0) ?? NaN;
    assert(Math.abs(sum - distance) < 1e-9, `${sum} for ${distance}`);
  }
});

test("an error has its status, its reason and every field that is at fault", async () => {
  const error = await failureOf(lapel.search.search({ query: like("nothing"), k: 0, distanceMax: -1 }));
  assert.equal(error.status, "INVALID_ARGUMENT");
  const fields = error.faults.map(({ field }) => field);
  assert(fields.includes("k") && fields.includes("distance_max"), fields.join());
  const missing = await failureOf(lapel.catalog.getItem({ id: "nothing" }));
  assert.equal(missing.code, Code.NotFound);
  assert.match(missing.reason, /^[A-Z_]+$/);
});

test("reads are tried again where the server was not reached, and no more than allowed", async () => {
  between.refuse(2);
  assert.equal((await relayed.catalog.countItems({})).items, (await lapel.catalog.countItems({})).items);
  assert.equal(between.calls.length, 3);
  between.refuse(10);
  assert.equal((await failureOf(relayed.catalog.countItems({}))).code, Code.Unavailable);
  assert.equal(between.calls.length, 4);
  between.refuse(0);
});

test("a mutation whose answer was lost is repeated, and happens once", async () => {
  between.refuse(1, true);
  const { profile } = await relayed.feedback.saveProfile({ name: "once", weights: { color: 2 } });
  assert.equal(between.calls.length, 2);
  assert.equal(profile?.version, 1n);
  between.refuse(1, true);
  await relayed.feedback.deleteProfile({ name: "once" });
  assert.equal(between.calls.length, 2);
});

test("streams are not repeated", async () => {
  between.refuse(1);
  const reading = async () => {
    for await (const _ of relayed.catalog.exportItems({ noImages: true })) assert.fail("nothing comes");
  };
  assert.equal((await failureOf(reading())).code, Code.Unavailable);
  assert.equal(between.calls.length, 1);
});

test("what nobody waits for ends, by the caller and by the deadline", async () => {
  const ending = new AbortController();
  const image = await dress();
  const call = failureOf(lapel.search.search({ query: like(image), k: 1 }, { signal: ending.signal }));
  ending.abort();
  assert.equal((await call).code, Code.Canceled);
  const late = await failureOf(lapel.search.search({ query: like(image), k: 1 }, { timeoutMs: 1 }));
  assert.equal(late.code, Code.DeadlineExceeded);
});

test("a head is taught, watched, promoted and retired", async () => {
  const { items } = await lapel.catalog.listItems({});
  const part = (category: string | undefined) => (category === "trouser" || category === "skirt" || category === "shorts" || category === "jean" ? "bottom" : "top");
  const examples = items.map(({ id, labels }) => ({ label: part(labels.category), of: { case: "itemId" as const, value: id } }));
  const steps = [];
  for await (const { event } of lapel.heads.teach({ name: "half", source: { case: "examples", value: { examples } }, hold: true, insist: true })) steps.push(event.case);
  assert.equal(steps.at(-1), "taught");
  for await (const _ of lapel.heads.watchHead({ name: "half" }));
  const { head } = await lapel.heads.promoteHead({ name: "half" });
  assert.equal(head?.version, 1);
  await lapel.heads.retireHead({ name: "half" });
});

test("a browser's transport reaches the same server", async () => {
  const browser = connectFromBrowser({ baseUrl: server.url });
  const image = await dress();
  assert.equal((await browser.catalog.upsertItem({ item: { id: "dress", image } })).replaced, false);
  const { results } = await browser.search.search({ query: like("dress"), k: 1 });
  assert.equal(results[0]?.itemId, "dress");
  const error = await failureOf(browser.search.search({ query: like("nothing"), k: 0 }));
  assert(error.faults.length > 0, error.message);
  await browser.catalog.deleteItems({ ids: ["dress"] });
  let items = 0;
  for await (const { item } of browser.catalog.exportItems({ noImages: true })) items += item ? 1 : 0;
  assert(items > 0);
});
