// How it looks: in the dark, on small screens, without anything in it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "../../../typescript/build/tests/server.js";
import { accessible, launch, shot, withPage } from "../browser.js";
import { at, firstItem, flow, settled } from "./shop.js";

/** @typedef {import("./shop.js").Page} Page */

/**
 * All pages, each once it has what it shows.
 * @param {Page} page
 * @param {(name: string) => Promise<void>} look
 */
async function through(page, look) {
  const id = await firstItem(page);
  const places = [
    ["start", "", ".card .picture img"],
    ["search", `#/search?q=item:${id}&set=sleeve_length:short`, ".card .rank"],
    ["detail", `#/search?q=item:${id}&open=${id}`, ".detail .terms"],
    ["teach", "#/teach?name=half&labels=top%7Cbottom", ".sheet .card"],
    ["heads", "#/heads", ".versions td"],
    ["catalogue", "#/catalogue", ".card .picture img"],
    ["item", `#/catalogue?open=${id}`, '.labels-table td:has-text("%")'],
    ["server", "#/server", 'caption:has-text("Calls of the last")'],
  ];
  for (const [name = "", address = "", there = ""] of places) {
    await at(page, address);
    await page.waitForSelector(there);
    await look(name);
  }
}

flow("every page can be read in the dark", async (page) => {
  await through(page, async (name) => {
    await shot(page, `dark-${name}`);
    await accessible(page);
  });
}, { options: { colorScheme: "dark" } });

flow("every page fits a small screen", async (page) => {
  await through(page, async (name) => {
    await shot(page, `small-${name}`);
    await accessible(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert(wide <= 320, `${name} is ${wide} pixels wide`);
  });
}, { options: { viewport: { width: 320, height: 640 }, hasTouch: true } });

flow("an error is told in the server's words, and the page goes on", async (page) => {
  await at(page, "#/search?q=item:nothing-here");
  await page.waitForSelector('.failure:has-text("NOT_FOUND")');
  await shot(page, "error");
  await accessible(page);
  await at(page, "#/search?q=item:nothing-here&range=price:cheap%7C");
  await page.waitForSelector(".failure");
  await at(page, `#/search?q=item:${await firstItem(page)}`);
  await settled(page);
});

test("an empty catalogue says what to do", async () => {
  const [empty, browser] = await Promise.all([start(), launch()]);
  try {
    await withPage(browser, {}, async (page) => {
      await page.goto(`${empty.url}/`);
      await page.waitForSelector("text=The catalogue is empty");
      await shot(page, "empty");
      await accessible(page);
      for (const name of ["teach?name=half&labels=a%7Cb", "heads", "catalogue", "server"]) {
        await page.goto(`${empty.url}/#/${name}`);
        await page.waitForSelector(".empty, .versions td, .coverage td");
      }
    });
  } finally {
    await browser.close();
    await empty.stop();
  }
});
