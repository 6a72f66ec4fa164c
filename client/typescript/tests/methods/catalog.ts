// CatalogService and AdminService.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { labelled } from "../../src/index.js";
import { all, failureOf } from "../failures.js";
import { idsOf, type Shop } from "./shop.js";

export function catalogMethods(shop: () => Shop): void {
  before(async () => {
    const { lapel, photo } = shop();
    const item = { id: "own", image: photo, moreImages: [photo], labels: { category: "dress" }, keepOthers: true };
    assert.equal((await lapel.catalog.upsertItem({ item })).replaced, false);
  });

  after(async () => {
    const { deleted, notFound } = await shop().lapel.catalog.deleteItems({ ids: ["own", "nothing"] });
    assert.equal(deleted, 1n);
    assert.deepEqual(notFound, ["nothing"]);
  });

  test("an item comes back as it was sent", async () => {
    const { lapel, photo } = shop();
    const { item } = await lapel.catalog.getItem({ id: "own" });
    assert(item?.hasImage && item.images === 2 && item.heads.includes("color"));
    assert.deepEqual({ ...item.labels }, { category: "dress" });
    const { image, contentType } = await lapel.catalog.getItemImage({ id: "own", picture: 1 });
    assert.equal(contentType, "image/jpeg");
    assert.deepEqual(Buffer.from(image), Buffer.from(photo));
    const pieces = await all(lapel.catalog.streamItemImage({ id: "own" }));
    assert.equal(pieces[0]?.sizeBytes, BigInt(photo.length));
    assert.deepEqual(Buffer.concat(pieces.map(({ chunk }) => chunk)), Buffer.from(photo));
  });

  test("an item is changed in part", async () => {
    const { lapel } = shop();
    const fields = { price: { kind: { case: "number", value: 79.5 } } } as const;
    const item = { id: "own", fields, updateMask: { paths: ["fields.price", "labels.fit"] } };
    assert.equal((await lapel.catalog.upsertItem({ item })).replaced, true);
    const answer = await lapel.catalog.getItem({ id: "own" });
    assert.deepEqual(answer.item?.fields.price?.kind, { case: "number", value: 79.5 });
    assert.equal(answer.item?.labels.category, "dress");
  });

  test("streams of items tell what became of each", async () => {
    const { lapel, streamsRequests, photo } = shop();
    const item = (id: string) => ({ id, labels: { category: "skirt" }, labelsOnly: true });
    async function* items() {
      yield* [item("own"), item("nothing"), { id: "torn", image: photo.subarray(0, 1000) }];
    }
    async function* requests() {
      for await (const one of items()) yield { item: one };
    }
    if (!streamsRequests) {
      assert.match((await failureOf(lapel.catalog.upsertItems(items()))).message, /stream/);
      return assert.match((await failureOf(all(lapel.catalog.upsertItemsStream(requests())))).message, /stream/);
    }
    const reasons = ["", "NOT_FOUND", "BAD_IMAGE"];
    const { results } = await lapel.catalog.upsertItems(items());
    assert.deepEqual(results.map(({ error }) => error?.reason ?? ""), reasons);
    const answers = await all(lapel.catalog.upsertItemsStream(requests()));
    assert.deepEqual(answers.flatMap((answer) => answer.results).map(({ error }) => error?.reason ?? ""), reasons);
    assert.equal(answers.at(-1)?.acknowledged, 3n);
    const { item: stored } = await lapel.catalog.getItem({ id: "own" });
    assert.equal(stored?.labels.category, "skirt");
  });

  test("items are listed in pages, and exported whole", async () => {
    const { lapel, items } = shop();
    const listed = [];
    let pageToken = "";
    do {
      const answer = await lapel.catalog.listItems({ pageSize: 10, pageToken });
      listed.push(...answer.items);
      pageToken = answer.nextPageToken;
    } while (pageToken !== "");
    const ids = [...idsOf(items), "own"].sort();
    assert.deepEqual(idsOf(listed), ids);
    const exported = await all(lapel.catalog.exportItems({ inPieces: true }));
    assert.deepEqual(exported.flatMap(({ item }) => item?.id ?? []), ids);
    const sent = Object.fromEntries(items.map(({ id, image }) => [id, image.length]));
    for (const { item, imageBytes, signatures } of exported.slice(0, 5)) {
      assert.equal(Number(imageBytes), sent[item?.id ?? ""]);
      assert.deepEqual(new Set(signatures.map(({ head }) => head)), new Set(item?.heads));
    }
  });

  test("items are counted, and deleted once they were counted", async () => {
    const { lapel, items } = shop();
    const stats = await lapel.catalog.catalogStats({});
    assert.equal(stats.items, BigInt(items.length + 1));
    assert.equal(stats.labels.part?.counts.bottom, BigInt(items.filter(({ labels }) => labels.part === "bottom").length));
    const old = { season: { kind: { case: "keyword", value: "2019" } } } as const;
    const { head } = await lapel.heads.getHead({ name: "color" });
    const signatures = [{ head: "color", values: Array<number>(head?.dim ?? 0).fill(1) }];
    for (const id of ["old-1", "old-2"]) await lapel.catalog.upsertItem({ item: { id, signatures, fields: old } });
    const filter = { node: { case: "field", value: { field: "season", condition: { case: "equals", value: old.season } } } } as const;
    const counted = await lapel.catalog.countItems({ filter, facets: [{ of: { case: "field", value: "season" } }] });
    assert.equal(counted.items, 2n);
    assert.deepEqual(counted.facets[0]?.counts.map(({ value, items }) => [value, items]), [["2019", 2n]]);
    const found = await lapel.catalog.deleteItemsByFilter({ filter, dryRun: true });
    assert.deepEqual(found.firstIds, ["old-1", "old-2"]);
    const other = await failureOf(lapel.catalog.deleteItemsByFilter({ filter, expectedItems: 3n }));
    assert.equal(other.reason, "COUNT_DIFFERS");
    assert.equal((await lapel.catalog.deleteItemsByFilter({ filter, expectedItems: found.items })).items, 2n);
    const dresses = await lapel.catalog.countItems({ filter: labelled("category", "dress", "skirt") });
    assert.equal(dresses.itemsTotal, stats.items);
  });

  test("a backup comes in pieces, and the server says what it does", async () => {
    const { lapel } = shop();
    const pieces = await all(lapel.admin.backup({}));
    assert(pieces.reduce((sum, { chunk }) => sum + chunk.length, 0) > 1 << 20);
    assert.equal(pieces.at(-1)?.damagedRecords, 0n);
    const stats = await lapel.admin.serverStats({});
    assert(stats.healthy && stats.inFlight >= 1n && stats.methods.some(({ method }) => method === "lapel.v1.AdminService/Backup"));
  });
}
