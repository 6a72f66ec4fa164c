// Teaching an attribute, and heads that come and go.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../../../typescript/build/tests/server.js";
import { accessible, shot } from "../browser.js";
import { at, carried, flow, ids } from "./shop.js";

/** @typedef {import("./shop.js").Page} Page */

/**
 * Labels the sheet by keyboard.
 * @param {Page} page
 */
async function label(page) {
  await page.focus(".sheet .card >> nth=0");
  for (const id of await ids(page)) await page.keyboard.press(/^(trouser|skirt|shorts|jean)/.test(id) ? "2" : "1");
}

flow("an attribute is taught by keyboard, promoted, taught again by suggestions, rolled back and retired", async (page) => {
  await at(page, "#/teach");
  await page.fill("#name", "half");
  await page.fill("#labels", "top, bottom");
  await page.click("text=Begin labelling");
  await page.waitForSelector(".sheet .card >> nth=20");
  await label(page);
  await page.click("text=What are they worth?");
  await page.waitForSelector(".worth");
  await shot(page, "teach");
  await accessible(page);
  await page.click('button:text-is("Teach")');
  await page.waitForSelector(".note:has-text('Version 1')");
  await page.click('button:text-is("Promote")');
  await page.waitForSelector(".state.active");
  await page.click("text=Next sheet");
  await page.waitForSelector(".sheet .facts:has-text('looks like')");
  await shot(page, "suggested");
  await label(page);
  await page.click('button:text-is("Teach")');
  await page.waitForSelector(".note:has-text('Version 2')");
  await page.click('tr:has(td:text-is("2")) button:text-is("Promote")');
  await page.waitForSelector('tr:has(td:text-is("2")) .state.active');
  await shot(page, "taught");
  await page.click('button:text-is("Roll back")');
  await page.waitForSelector('tr:has(td:text-is("1")) .state.active');
  await at(page, "#/heads");
  await page.waitForSelector('.versions tr:has-text("half") .state.active');
  await page.click('button:text-is("Compare")');
  await page.waitForSelector(".compared, .failure");
  await shot(page, "heads");
  await accessible(page);
  page.on("dialog", (dialog) => void dialog.accept());
  await page.click('.versions tr:has-text("half"):has(.standby) >> text=Retire');
  await page.waitForSelector('.versions tr:has-text("half"):has(.standby)', { state: "detached" });
  await page.click('.versions tr:has-text("half") >> text=Retire');
  await page.waitForSelector('.versions tr:has-text("half")', { state: "detached" });
});

flow("a bundle that is dropped becomes a head, and what is none is refused", async (page) => {
  await at(page, "#/heads");
  await page.waitForSelector(".versions .state.active");
  const zone = '[aria-label="Register a head"]';
  const notes = await carried(page, [{ name: "notes.safetensors", type: "", content: Buffer.from("not a bundle") }]);
  await page.dispatchEvent(zone, "drop", { dataTransfer: notes });
  await page.waitForSelector(`${zone} .failure:has-text("INVALID_ARGUMENT")`);
  const content = await readFile(join(ROOT, "examples/heads/season.safetensors"));
  const bundle = await carried(page, [{ name: "season.safetensors", type: "", content }]);
  await page.dispatchEvent(zone, "drop", { dataTransfer: bundle });
  await page.waitForSelector("text=season version 1 is registered.");
  await page.waitForSelector('.versions tr:has-text("season") .state.standby');
  await shot(page, "registered");
  page.on("dialog", (dialog) => void dialog.accept());
  await page.click('.versions tr:has-text("season") >> text=Retire');
  await page.waitForSelector('.versions tr:has-text("season")', { state: "detached" });
});
