// A shop with photos of the demo on the real server, which all flows of the console share, and what they do again and again.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT, fill, start, wardrobe } from "../../../typescript/build/tests/server.js";
import { launch, withPage } from "../browser.js";

/** @typedef {import("playwright-core").Page} Page */

// One in so many of the demo's photos: more than a page of results.
const STEP = 6;
/** A photo that is in no catalogue. */
export const PHOTO = join(ROOT, "examples/queries/dress.jpg");

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof start>>} */
let server;

before(async () => {
  [server, browser] = await Promise.all([start(), launch()]);
  await fill(server.url, await wardrobe(STEP));
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/**
 * Tests a flow on a page of its own; `expected`: what the browser may complain of.
 * @param {string} name
 * @param {(page: Page, log: (text: string) => void) => Promise<void>} work
 * @param {{ options?: import("playwright-core").BrowserContextOptions, expected?: RegExp }} [how]
 */
export function flow(name, work, { options = {}, expected } = {}) {
  test(name, (context) => withPage(browser, options, (page) => work(page, (text) => context.diagnostic(text)), expected));
}

/**
 * @param {Page} page
 * @param {string} address
 */
export async function at(page, address) {
  await page.goto(`${server.url}/${address}`);
}

/**
 * The ids in the grid, in their order.
 * @param {Page} page
 */
export async function ids(page) {
  return await page.locator(".card").evaluateAll((cards) => cards.map((card) => card.getAttribute("data-item") ?? ""));
}

/**
 * An item of the catalogue that has labels.
 * @param {Page} page
 */
export async function firstItem(page) {
  await at(page, "");
  await page.waitForSelector(".card");
  return (await ids(page))[0] ?? "";
}

/**
 * Waits for the results of what is on the screen.
 * @param {Page} page
 */
export async function settled(page) {
  await page.waitForSelector('.results[aria-busy="false"] .grid:not(.stale) .card .rank');
}

/**
 * Files as they are when somebody drags them here, or copies them.
 * @param {Page} page
 * @param {{ name: string, type: string, content: Buffer }[]} files
 */
export async function carried(page, files) {
  const sent = files.map(({ name, type, content }) => ({ name, type, text: content.toString("base64") }));
  return await page.evaluateHandle((given) => {
    const transfer = new DataTransfer();
    for (const { name, type, text } of given) {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type }));
    }
    return transfer;
  }, sent);
}

/**
 * What a program says; it must end well.
 * @param {string} program
 * @param {string[]} args
 * @param {import("node:child_process").SpawnSyncOptions} options
 */
export function said(program, args, options) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { ...options, encoding: "utf8" });
  if (error || status !== 0) throw new Error(`${program} ended with ${status}: ${error ?? stderr}`);
  return `${stdout}`;
}
