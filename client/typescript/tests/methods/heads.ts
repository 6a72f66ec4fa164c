// HeadService.
import assert from "node:assert/strict";
import { test } from "node:test";
import { like, type Lapel, type LapelError } from "../../src/index.js";
import { HeadState, type Head } from "../../src/v1.js";
import { externalHead, headParts, sha256 } from "../bundles.js";
import { all, failureOf } from "../failures.js";
import type { Shop } from "./shop.js";

/** Follows a head until nothing more happens to it. */
async function settled(lapel: Lapel, name: string, version = 0): Promise<Head | undefined> {
  return (await all(lapel.heads.watchHead({ name, version }))).at(-1)?.head;
}

export function headMethods(shop: () => Shop): void {
  test("a bundle is registered, in parts and whole, and its head searched by", async () => {
    const { lapel, streamsRequests } = shop();
    const bundle = externalHead("mood", 2, ["calm", "loud"]);
    const whole = await lapel.heads.registerHeadFromBundle({ bundle, sha256: sha256(bundle) });
    assert.equal(whole.head?.state, HeadState.ACTIVE);
    if (streamsRequests) {
      const parts = await lapel.heads.registerHead(headParts(bundle));
      assert.deepEqual([parts.head?.name, parts.head?.version], ["mood", whole.head.version], "it is there");
    } else {
      assert.match((await failureOf(lapel.heads.registerHead(headParts(bundle)))).message, /stream/);
    }
    assert.equal((await lapel.heads.getHead({ name: "mood" })).head?.bundleSha256, sha256(bundle));
    const { heads } = await lapel.heads.listHeads({ state: HeadState.ACTIVE, pageSize: 1000 });
    assert(heads.length > 10 && heads.some(({ name }) => name === "mood"));
    const { attributes } = await lapel.heads.listLabels({ attribute: "mood" });
    assert.deepEqual(attributes[0]?.labels.map(({ label }) => label), ["calm", "loud"]);
    for (const [id, values] of [["dress-03", [3, 4]], ["blazer-01", [4, 3]]] as const) {
      await lapel.catalog.upsertItem({ item: { id, signatures: [{ head: "mood", values: [...values] }], signaturesOnly: true } });
    }
    const signatures = [{ head: "mood", values: [0.6, 0.8] }];
    const answer = await lapel.search.search({ query: { source: { case: "signatures", value: { signatures } } }, k: 1 });
    assert(answer.results[0]?.itemId === "dress-03" && answer.results[0].distance < 1e-6);
    assert.equal((await lapel.heads.retireHead({ name: "mood" })).head?.state, HeadState.RETIRED);
  });

  test("a head is taught, and says what to label next", async () => {
    const { lapel, items } = shop();
    const source = { case: "labelAttribute", value: "part" } as const;
    const steps = await all(lapel.heads.teach({ name: "part", source, insist: true }));
    const { event } = steps.at(-1) ?? {};
    assert(event?.case === "taught" && steps[0]?.event.case === "progress");
    const taughtItems = items.filter(({ labels }) => labels.part !== undefined);
    assert.equal(event.value.worth?.examples, BigInt(taughtItems.length));
    assert.equal((await settled(lapel, "part"))?.state, HeadState.ACTIVE);
    const { examples } = await lapel.heads.suggestExamples({ name: "part", count: 2 });
    assert(examples.length === 2 && examples.every(({ itemId }) => !taughtItems.some(({ id }) => id === itemId)));
    const pieces = await all(lapel.heads.downloadHead({ name: "part" }));
    assert.equal(sha256(...pieces.map(({ chunk }) => chunk)), pieces[0]?.head?.bundleSha256);
  });

  test("the next version of a head is compared, promoted, rolled back", async () => {
    const { lapel, items } = shop();
    const { head: first } = await lapel.heads.getHead({ name: "part" });
    const source = { case: "labelAttribute", value: "part" } as const;
    await all(lapel.heads.teach({ name: "part", source, description: "once more", update: true, hold: true, insist: true }));
    const second = await settled(lapel, "part");
    assert(first && second && second.version > first.version && second.state === HeadState.STANDBY);
    const { attributes } = await lapel.heads.compareHeads({ name: "part" });
    const labelled = items.filter(({ labels }) => labels.part !== undefined);
    assert.equal(attributes[0]?.worth?.examples, BigInt(labelled.length));
    assert.equal(attributes[0].gained, attributes[0].lost, "both are taught the same");
    const { head: promoted } = await lapel.heads.promoteHead({ name: "part" });
    assert.deepEqual([promoted?.version, promoted?.state], [second.version, HeadState.ACTIVE]);
    const { head: back } = await lapel.heads.rollbackHead({ name: "part" });
    assert.deepEqual([back?.version, back?.state], [first.version, HeadState.ACTIVE]);
  });

  test("labels are changed, and a backfill is cancelled", async () => {
    const { lapel } = shop();
    const rename = { case: "rename", value: { from: "bottom", to: "legs" } } as const;
    let dropped: Head | undefined;
    while (dropped === undefined) {
      const changed = await lapel.heads.changeLabels({ attribute: "part", changes: [{ change: rename }], hold: true });
      assert.deepEqual(changed.labels.map(({ label, newLabel }) => [label, newLabel]), [["bottom", "legs"]]);
      const { version = 0 } = changed.head ?? {};
      const cancelling = lapel.heads.cancelHead({ name: "part" });
      // Of few items a backfill may be done sooner.
      dropped = (await cancelling.catch((error: LapelError) => assert.equal(error.status, "FAILED_PRECONDITION")))?.head;
      if (dropped) assert.deepEqual([dropped.version, dropped.state], [version, HeadState.RETIRED]);
      else await lapel.heads.retireHead({ name: "part", version });
    }
    await lapel.heads.retireHead({ name: "part" });
    const answer = await lapel.search.search({ query: like("dress-03"), k: 1 });
    assert(!("part" in answer.weights));
  });
}
