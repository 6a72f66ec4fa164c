// Uploads: by several streams, with what became of each item, gone on with after a stream or a program was cut off.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { Code, type Lapel } from "../src/index.js";
import { connect, upload, type ItemResult, type NewItem, type UploadProgress } from "../src/node.js";
import { externalHead } from "./bundles.js";
import { failureOf } from "./failures.js";
import { relay, type Relay } from "./relay.js";
import { ROOT, start, type Server } from "./server.js";

const PHOTO = join(ROOT, "examples/queries/dress.jpg");

let server: Server;
let between: Relay;
let lapel: Lapel;
let relayed: Lapel;
let folder: string;

before(async () => {
  server = await start();
  between = await relay(server.url);
  lapel = connect({ baseUrl: server.url });
  relayed = connect({ baseUrl: between.url });
  folder = await mkdtemp(join(tmpdir(), "lapel-"));
  await lapel.heads.registerHeadFromBundle({ bundle: externalHead("mood", 2, ["calm", "loud"]) });
});

after(async () => {
  await between?.stop();
  await server?.stop();
  await rm(folder, { recursive: true });
});

beforeEach(() => between.fail(0));

/** Items that cost the server little. */
function plain(count: number, name = "plain"): NewItem[] {
  return Array.from({ length: count }, (_, at) => ({ id: `${name}-${at}`, signatures: [{ head: "mood", values: [1, at] }] }));
}

async function idsThere(): Promise<string[]> {
  const { items } = await lapel.catalog.listItems({ pageSize: 1000 });
  return items.map(({ id }) => id);
}

/** Deletes what a test has stored; all of it must be there. */
async function clear(items: readonly NewItem[]): Promise<void> {
  const { notFound } = await lapel.catalog.deleteItems({ ids: items.map(({ id }) => id) });
  assert.deepEqual(notFound, []);
}

test("many items go by several streams, from wherever they come", async () => {
  const items = plain(1100);
  const seen: UploadProgress[] = [];
  const { stored, skipped, refused } = await upload(relayed, items, { parallel: 3, onProgress: (progress) => seen.push(progress) });
  assert.deepEqual([stored, skipped, refused], [items.length, 0, []]);
  assert.equal(between.calls.length, 5);
  const results = seen.flatMap((progress) => progress.results);
  assert.deepEqual(new Set(results.map(({ id }) => id)), new Set(items.map(({ id }) => id)));
  assert(results.every(({ replaced, error }) => !replaced && error === undefined));
  const last = seen.at(-1);
  assert.deepEqual([last?.done, last?.total, last?.refused], [items.length, items.length, 0]);
  assert(last !== undefined && last.itemsPerSecond > 0);
  async function* again() {
    yield* items.slice(0, 10);
  }
  seen.length = 0;
  await upload(lapel, again(), { onProgress: (progress) => seen.push(progress) });
  assert(seen.flatMap((progress) => progress.results).every(({ replaced }) => replaced) && seen[0]?.total === undefined);
  await clear(items);
});

test("pictures are read from files, and what is refused leaves the others", async () => {
  const empty = join(folder, "empty.jpg");
  await writeFile(empty, "");
  const photo = await readFile(PHOTO);
  const { stored, refused } = await upload(lapel, [
    { id: "by-path", image: PHOTO, moreImages: [photo], labels: { category: "dress" } },
    { id: "missing", image: join(folder, "nothing.jpg") },
    { id: "empty", image: empty },
    { id: "torn", image: photo.subarray(0, 1000) },
    { id: "untyped", image: photo, fields: { stock: { kind: { case: "integer", value: 1.5 as unknown as bigint } } } },
    { id: "unreachable", image: () => Promise.reject(new Error("no such address")) },
    { id: "by-path", image: photo },
    { id: "bytes", image: photo },
  ]);
  assert.equal(stored, 2);
  assert.deepEqual(new Set(refused.map(({ id, error }) => `${id} ${error?.reason} ${error?.status}`)), new Set([
    "missing NOT_SENT INVALID_ARGUMENT",
    "empty NOT_SENT INVALID_ARGUMENT",
    "untyped NOT_SENT INVALID_ARGUMENT",
    "unreachable NOT_SENT INVALID_ARGUMENT",
    "by-path NOT_SENT INVALID_ARGUMENT",
    "torn BAD_IMAGE INVALID_ARGUMENT",
  ]));
  assert.match(refused.find(({ id }) => id === "missing")?.error?.message ?? "", /nothing\.jpg/);
  const { item } = await lapel.catalog.getItem({ id: "by-path" });
  assert.deepEqual([item?.images, item?.labels.category], [2, "dress"]);
  await lapel.catalog.deleteItems({ ids: ["by-path", "bytes"] });
});

test("a stream that is cut off is followed by another, behind what was acknowledged", async () => {
  const items = plain(40);
  // What came before is acknowledged meanwhile.
  const slow = async () => await new Promise<Uint8Array>((done) => setTimeout(() => done(photo), 500));
  const photo = await readFile(PHOTO);
  items[20] = { id: "plain-20", image: slow };
  between.fail(1, { retryAfterMs: 10 });
  const results: ItemResult[] = [];
  const onProgress = (progress: UploadProgress) => {
    if (results.length === 0) between.cut();
    results.push(...progress.results);
  };
  const { stored } = await upload(relayed, items, { parallel: 1, onProgress });
  assert.deepEqual([stored, results.length, between.calls.length], [items.length, items.length, 3]);
  assert.deepEqual(results.map(({ id }) => id), items.map(({ id }) => id));
  assert(results.every(({ replaced }) => !replaced), "none was sent twice");
  await clear(items);
});

test("what may not pass ends an upload, and so do its caller and what it calls", async () => {
  between.fail(1, { code: Code.PermissionDenied });
  assert.equal((await failureOf(upload(relayed, plain(3)))).status, "PERMISSION_DENIED");
  assert.equal(between.calls.length, 1);
  const enough = new Error("enough");
  const onProgress = () => {
    throw enough;
  };
  await assert.rejects(upload(lapel, plain(600), { parallel: 3, onProgress }), enough);
  const ending = new AbortController();
  between.fail(1, { retryAfterMs: 20_000 });
  const waiting = failureOf(upload(relayed, plain(600), { signal: ending.signal }));
  while (!between.calls[0]) await new Promise((done) => setTimeout(done, 5));
  ending.abort();
  assert.equal((await waiting).status, "CANCELED");
  async function* broken() {
    yield* plain(3);
    throw enough;
  }
  await assert.rejects(upload(lapel, broken()), enough);
  await assert.rejects(upload(lapel, [], { parallel: 0 }), RangeError);
  const ids = await idsThere();
  if (ids.length > 0) await lapel.catalog.deleteItems({ ids });
});

test("a report lets an upload go on after its program was ended", async () => {
  const items = plain(5);
  const report = join(folder, "upload.jsonl");
  await upload(lapel, [...items.slice(0, 2), { id: "bad", labels: {} }], { report });
  // A line that was cut off when the program ended.
  await writeFile(report, `${await readFile(report, "utf8")}{"id":"pla`);
  const skipped: string[] = [];
  const onProgress = ({ results }: UploadProgress) => {
    for (const result of results) if (result.skipped) skipped.push(result.id);
  };
  const summary = await upload(lapel, items, { report, onProgress });
  assert.deepEqual([summary.stored, summary.skipped, skipped], [3, 2, ["plain-0", "plain-1"]]);
  const lines = (await readFile(report, "utf8")).trim().split("\n").map((line) => JSON.parse(line) as { id: string; stored: boolean });
  assert.deepEqual(lines.filter(({ stored }) => stored).map(({ id }) => id).sort(), items.map(({ id }) => id));
  assert.deepEqual(lines.filter(({ stored }) => !stored).map(({ id }) => id), ["bad"]);
  await clear(items);
  for (const content of ["no report\n", "no report", '{"id":1}\n']) {
    await writeFile(report, content);
    await assert.rejects(upload(lapel, items, { report }), /not (of )?a report/);
    assert.equal(await readFile(report, "utf8"), content);
  }
});
