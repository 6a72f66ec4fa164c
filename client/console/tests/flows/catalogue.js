// The catalogue: photos that come, labels that are edited, items that go, and the server's own page.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { accessible, shot } from "../browser.js";
import { PHOTO, at, carried, flow, ids } from "./shop.js";

flow("photos are uploaded by drop with a result each, an item's labels are edited, and it is deleted", async (page) => {
  await at(page, "#/catalogue");
  await page.waitForSelector(".card");
  const dress = await readFile(PHOTO);
  const files = await carried(page, [
    { name: "dress.jpg", type: "image/jpeg", content: dress },
    { name: "notes.jpg", type: "image/jpeg", content: Buffer.from("no photo") },
  ]);
  await page.dispatchEvent('[aria-label="Upload"]', "drop", { dataTransfer: files });
  await page.waitForSelector("text=2 of 2: 1 stored, 1 refused");
  await page.click("text=What was stored");
  await shot(page, "upload");
  await accessible(page);
  await page.click('.drop a:text-is("dress")');
  await page.waitForSelector('.labels-table td:has-text("%")');
  const color = page.locator('[aria-label="stored label of color"]');
  await color.selectOption("pink");
  await page.waitForSelector('.said:has-text("color: pink in place of none")');
  await shot(page, "item");
  await accessible(page);
  await page.click(".said >> text=Undo");
  await page.waitForSelector('.said:has-text("color: none in place of pink")');
  assert.equal(await color.inputValue(), "");
  page.on("dialog", (dialog) => void dialog.accept());
  await page.click("dialog >> text=Delete");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.waitForFunction(() => document.querySelector('[data-item="dress"]') === null);
});

flow("the catalogue is browsed by labels and fields", async (page) => {
  await at(page, "#/catalogue");
  await page.waitForSelector(".card");
  const all = await ids(page);
  await page.click('summary:has-text("product")');
  await page.click(".values .value >> nth=0");
  await page.waitForSelector("text=/^\\d+ items? pass/");
  assert((await ids(page)).length < all.length);
  await page.click("text=Without filters");
  await page.waitForSelector("text=/^\\d+ items$/");
});

flow("the server's page says how far heads reach and what this browser waits", async (page) => {
  await at(page, "#/server");
  await page.waitForSelector(".coverage td");
  await page.click("text=Measure 200 searches");
  await page.waitForSelector("text=/\\d+ a second/");
  await shot(page, "server");
  await accessible(page);
});
