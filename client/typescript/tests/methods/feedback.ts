// FeedbackService.
import assert from "node:assert/strict";
import { test } from "node:test";
import { like } from "../../src/index.js";
import { failureOf } from "../failures.js";
import type { Shop } from "./shop.js";

export function feedbackMethods(shop: () => Shop): void {
  test("picks become weights and results", async () => {
    const { lapel, items } = shop();
    const pickedIds = items.slice(0, 3).map(({ id }) => id);
    const answer = await lapel.feedback.personalise({ pickedIds, k: 4, excludeIds: pickedIds });
    const sum = Object.values(answer.weights).reduce((total, weight) => total + weight, 0);
    assert(Math.abs(sum - Object.keys(answer.weights).length) < 1e-6);
    assert(answer.results.length === 4 && answer.results.every(({ itemId }) => !pickedIds.includes(itemId)));
  });

  test("a profile is saved, used, undone and deleted", async () => {
    const { lapel } = shop();
    const weights = { color: 3, category: 1 };
    const { profile } = await lapel.feedback.saveProfile({ name: "own", weights, pickedIds: ["a"] });
    assert.equal(profile?.version, 1n);
    assert.deepEqual((await lapel.feedback.getProfile({ name: "own" })).profile, profile);
    const used = await lapel.search.search({ query: like("dress-03"), k: 1, weighting: { case: "profile", value: "own" } });
    const given = used.headWeights.filter(({ givenWeight }) => givenWeight !== undefined);
    assert.deepEqual(Object.fromEntries(given.map(({ head, givenWeight }) => [head, givenWeight])), weights);
    await lapel.feedback.saveProfile({ name: "own", weights: { fit: 1 } });
    const undone = await lapel.feedback.undoProfile({ name: "own", version: 2n });
    assert.equal(undone.profile?.version, 3n);
    assert.deepEqual({ ...undone.profile.weights }, weights);
    assert.deepEqual((await lapel.feedback.listProfiles({})).profiles, [undone.profile]);
    await lapel.feedback.deleteProfile({ name: "own" });
    assert.equal((await failureOf(lapel.feedback.getProfile({ name: "own" }))).status, "NOT_FOUND");
  });
}
