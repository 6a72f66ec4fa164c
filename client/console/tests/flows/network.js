// A network that is slow or gone for a while.
import assert from "node:assert/strict";
import { shot } from "../browser.js";
import { at, firstItem, flow, ids, settled } from "./shop.js";

/** @typedef {import("./shop.js").Page} Page */

/**
 * Lets every answer come so many milliseconds later; 0: as fast as can be.
 * @param {Page} page
 * @param {number} latency
 */
async function slowed(page, latency) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", { offline: false, latency, downloadThroughput: -1, uploadThroughput: -1 });
}

/**
 * Where parts of the page begin.
 * @param {Page} page
 */
async function places(page) {
  const tops = (/** @type {Element[]} */ found) => found.map((part) => [part.id, part.getBoundingClientRect().top]);
  return await page.locator("#seen, #weights, #filters").evaluateAll(tops);
}

flow("on a slow network it says that it waits, nothing moves, and an old answer does not come after a newer one", async (page) => {
  const id = await firstItem(page);
  const [, second = "", third = ""] = await ids(page);
  await at(page, `#/search?q=item:${id}`);
  await settled(page);
  const before = await places(page);
  await slowed(page, 3500);
  await page.click(`[data-item="${second}"] >> text=Similar`);
  await page.waitForSelector(".grid.stale");
  assert.deepEqual(await places(page), before);
  await page.waitForSelector("text=Still loading");
  await shot(page, "slow");
  await at(page, `#/search?q=item:${third}`);
  await page.waitForSelector('.results[aria-busy="false"] .grid:not(.stale)');
  assert.equal((await ids(page))[0], third);
  assert.deepEqual(await places(page), before);
});

flow("a network that is gone is told, and tried again", async (page) => {
  const id = await firstItem(page);
  await page.route("**/lapel.v1.*/**", (route) => route.abort());
  await at(page, `#/search?q=item:${id}`);
  await page.waitForSelector('.results .failure:has-text("reachable")');
  await shot(page, "unreachable");
  await page.unroute("**/lapel.v1.*/**");
  await page.click("text=Try again");
  await settled(page);
  // From the beginning, too.
  await page.route("**/lapel.v1.*/**", (route) => route.abort());
  await page.reload();
  await page.waitForSelector('.results .failure:has-text("reachable")');
  await page.unroute("**/lapel.v1.*/**");
  await page.click("text=Try again");
  await settled(page);
}, { expected: /Failed to load resource|ERR_FAILED/ });
