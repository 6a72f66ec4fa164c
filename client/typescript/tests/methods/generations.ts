// GenerationService.
import assert from "node:assert/strict";
import { test } from "node:test";
import { like, type Lapel } from "../../src/index.js";
import { HeadState, type Generation } from "../../src/v1.js";
import { generationParts, paperModel, type PartOfGeneration } from "../bundles.js";
import { all } from "../failures.js";
import type { Shop } from "./shop.js";

const { ACTIVE, STANDBY, RETIRED } = HeadState;

async function built({ lapel, streamsRequests }: Shop, files: PartOfGeneration[]): Promise<Generation | undefined> {
  const { generation } = streamsRequests
    ? await lapel.generations.buildGeneration(generationParts(files, true))
    : await lapel.generations.buildGenerationFromFiles({ files, hold: true });
  return generation;
}

/** The states of all generations but those that are gone, the one that serves first. */
async function states(lapel: Lapel): Promise<HeadState[]> {
  const { generations } = await lapel.generations.listGenerations({});
  return generations.map(({ state }) => state).filter((state) => state !== RETIRED);
}

export function generationMethods(shop: () => Shop): void {
  test("a generation is built, switched to, rolled back and dropped", async () => {
    const { lapel } = shop();
    const files = await paperModel();
    const backbone = (await built(shop(), files))?.backbone ?? "";
    const { generation: watched } = (await all(lapel.generations.watchGeneration({}))).at(-1) ?? {};
    assert.deepEqual([watched?.backbone, watched?.state], [backbone, STANDBY], watched?.failure);
    const { generation: again } = await lapel.generations.buildGenerationFromFiles({ files, hold: true });
    assert.deepEqual([again?.backbone, again?.state], [backbone, STANDBY], "it is there");
    const switched = await lapel.generations.switchGeneration({ backbone });
    assert.deepEqual([switched.generation?.state, await states(lapel)], [ACTIVE, [ACTIVE, STANDBY]]);
    const answer = await lapel.search.search({ query: like("dress-03"), k: 1 });
    assert.deepEqual([answer.generation, Object.keys(answer.weights)], [switched.number, ["general"]]);
    await lapel.generations.switchGeneration({});
    const { generation: dropped } = await lapel.generations.dropGeneration({ backbone });
    assert.deepEqual([dropped?.backbone, dropped?.state, await states(lapel)], [backbone, RETIRED, [ACTIVE]]);
  });
}
