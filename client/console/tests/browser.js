// A browser for tests: screenshots are kept, what it complains of fails the test, and so does what axe finds serious.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const ROOT = resolve(import.meta.dirname, "../../..");
const SHOTS = join(ROOT, "target/console");
// Longer than anything takes on a slow machine.
const WAIT_MS = 120_000;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Starts Chromium; `CHROMIUM` names another than Debian's. */
export async function launch() {
  await mkdir(SHOTS, { recursive: true });
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

/**
 * Runs `work` on a page of its own, with a session of its own.
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} options
 * @param {(page: import("playwright-core").Page) => Promise<void>} work
 * @param {RegExp} [expected] what the browser may complain of
 */
export async function withPage(browser, options, work, expected = /^$/) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(`${error.stack}`));
  try {
    await work(page);
  } catch (cause) {
    // One that cannot be taken does not hide the cause.
    await page.screenshot({ path: join(SHOTS, "failed.jpg") }).catch(() => {});
    throw new Error(`at ${page.url()}: ${cause}\n${complaints.join("\n")}`, { cause });
  } finally {
    await context.close();
  }
  assert.deepEqual(complaints.filter((complaint) => !expected.test(complaint)), []);
}

/**
 * Keeps a picture of the page, to be looked at, once its own pictures are there.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
export async function shot(page, name) {
  await page.waitForFunction(() => {
    const shown = [...document.querySelectorAll(".picture.waiting")].filter((place) => {
      const { top, bottom } = place.getBoundingClientRect();
      return place.checkVisibility() && bottom > 0 && top < innerHeight && !place.textContent;
    });
    return shown.length === 0;
  });
  await page.screenshot({ path: join(SHOTS, `${name}.jpg`), quality: 85 });
}

/**
 * Fails on what axe finds serious or critical.
 * @param {import("playwright-core").Page} page
 */
export async function accessible(page) {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    // @ts-expect-error: the page has it by now.
    const found = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map((/** @type {any} */ { id, impact, nodes }) => `${impact} ${id}: ${nodes[0].html}`);
  });
  assert.deepEqual(violations.filter((/** @type {string} */ violation) => /^(serious|critical)/.test(violation)), []);
}
