// SearchService.
import assert from "node:assert/strict";
import { test } from "node:test";
import { allOf, changed, labelled, like } from "../../src/index.js";
import type { DemoItem } from "../server.js";
import { idsOf, type Shop } from "./shop.js";

/** Ids of the items that carry all labels, given by attribute. */
function carrying({ items }: Shop, wanted: Record<string, string>): string[] {
  const hasAll = ({ labels }: DemoItem) => Object.entries(wanted).every(([attribute, label]) => labels[attribute] === label);
  return idsOf(items.filter(hasAll));
}

export function searchMethods(shop: () => Shop): void {
  test("a photo is described, and an item has the labels that it is stored with", async () => {
    const { lapel, items, photo } = shop();
    const seen = await lapel.search.describe({ source: { case: "image", value: photo }, includeSignatures: true });
    const sleeves = seen.attributes.find(({ attribute }) => attribute === "sleeve_length");
    const total = sleeves?.labels.reduce((sum, { probability }) => sum + probability, 0) ?? 0;
    assert(total > 0.5 && total < 1 + 1e-3 && seen.parts?.case !== "" && seen.signatures.length > 0);
    const [item] = items;
    const stored = await lapel.search.describe({ source: { case: "itemId", value: item?.id ?? "" } });
    assert.deepEqual({ ...stored.storedLabels }, item?.labels);
  });

  test("a search with an edit: each distance is the sum of its terms", async () => {
    const { lapel, photo } = shop();
    const answer = await lapel.search.search({
      query: like(photo),
      manipulations: changed({ sleeve_length: "short" }),
      filter: allOf(labelled("category", "dress", "skirt")),
      k: 3,
      explain: true,
      showFields: ["price"],
    });
    const passing = ["dress", "skirt"].flatMap((category) => carrying(shop(), { category }));
    assert.deepEqual(answer.results.map(({ itemId }) => itemId).sort(), passing);
    assert.equal(answer.itemsPassing, BigInt(passing.length));
    assert(answer.manipulations[0]?.head === "sleeve_length" && answer.attainability !== undefined);
    for (const { distance, explanation, fields } of answer.results) {
      const sum = explanation?.terms.reduce((total, { contribution }) => total + contribution, 0) ?? NaN;
      assert(Math.abs(sum - distance) < 1e-9, `${sum} for ${distance}`);
      assert.equal(fields.price?.kind.case, "number");
    }
  });

  test("pages hold every item once", async () => {
    const { lapel, items } = shop();
    const seen: string[] = [];
    let pageToken: Uint8Array = new Uint8Array();
    do {
      const answer = await lapel.search.search({ query: like("dress-03"), k: 5, paged: true, pageToken });
      seen.push(...answer.results.map(({ itemId }) => itemId));
      pageToken = answer.nextPageToken;
    } while (pageToken.length > 0);
    assert.equal(seen[0], "dress-03");
    assert.equal(new Set(seen).size, items.length);
    assert.equal(seen.length, items.length);
  });

  test("of a batch a search that fails leaves the others", async () => {
    const { lapel } = shop();
    const { results } = await lapel.search.searchBatch({ requests: ["dress-03", "nothing"].map((id) => ({ query: like(id), k: 1 })) });
    const [found, failed] = results.map(({ outcome }) => outcome);
    assert(found?.case === "response" && found.value.results[0]?.itemId === "dress-03");
    assert(failed?.case === "error" && failed.value.reason === "NOT_FOUND");
  });

  test("edits are suggested that lead to items", async () => {
    const { lapel } = shop();
    const { suggestions, kept } = await lapel.search.suggest({ query: like("dress-03"), suggestionsMax: 5 });
    assert.deepEqual({ ...kept }, { category: "dress" });
    assert(suggestions.length > 0);
    for (const { manipulation, items, bestItemId } of suggestions) {
      const { attribute = "", label = "" } = manipulation ?? {};
      const there = carrying(shop(), { ...kept, [attribute]: label });
      assert.equal(items, BigInt(there.length));
      assert(there.includes(bestItemId));
    }
  });
}
