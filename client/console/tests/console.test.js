// Each flow of the console in a browser, on photos of the demo and the real server.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT, fill, start, wardrobe } from "../../typescript/build/tests/server.js";
import { accessible, launch, shot, withPage } from "./browser.js";

// One in so many of the demo's photos.
const STEP = 6;
const PHOTO = join(ROOT, "examples/queries/dress.jpg");

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
 * @param {string} name
 * @param {(page: import("playwright-core").Page) => Promise<void>} work
 * @param {{ options?: import("playwright-core").BrowserContextOptions, expected?: RegExp }} [how]
 */
function flow(name, work, { options = {}, expected } = {}) {
  test(name, () => withPage(browser, options, work, expected));
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} address
 */
async function at(page, address) {
  await page.goto(`${server.url}/${address}`);
}

/**
 * The ids in the grid, in their order.
 * @param {import("playwright-core").Page} page
 */
async function ids(page) {
  return await page.locator(".card").evaluateAll((cards) => cards.map((card) => card.getAttribute("data-item") ?? ""));
}

/**
 * An item of the catalogue that has a label.
 * @param {import("playwright-core").Page} page
 */
async function firstItem(page) {
  await at(page, "");
  await page.waitForSelector(".card");
  return (await ids(page))[0] ?? "";
}

/**
 * @param {import("playwright-core").Page} page
 */
async function settled(page) {
  await page.waitForSelector('.results[aria-busy="false"] .card .rank');
}

flow("a photo is searched for, an attribute changed, a result explained", async (page) => {
  await at(page, "");
  await page.waitForSelector(".card");
  await shot(page, "start");
  await accessible(page);
  await page.setInputFiles(".query input[type=file]", PHOTO);
  await settled(page);
  await page.waitForSelector(".parts rect");
  await shot(page, "photo");
  await page.click('.row:has-text("sleeve length")');
  await page.waitForSelector('.label:has-text("short") .number:not(:empty)');
  await accessible(page);
  await page.click('.label:has-text("short")');
  await page.waitForSelector(".card.all");
  await shot(page, "changed");
  await page.click(".card.all .look >> nth=0");
  await page.waitForSelector(".detail .terms");
  assert.match((await page.textContent(".detail .matches")) ?? "", /Changed as asked/);
  await shot(page, "explained");
  await accessible(page);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".detail", { state: "detached" });
  // The address is the state: reloading and going back find it.
  await page.reload();
  await page.waitForSelector(".card.all");
  await page.goBack();
  await page.waitForSelector(".detail");
});

flow("a slider ranks anew, and the request is there to copy", async (page) => {
  await at(page, `#/search?q=item:${await firstItem(page)}`);
  await settled(page);
  const before = await ids(page);
  const slider = page.getByLabel("how much color counts");
  await slider.focus();
  await page.keyboard.press("End");
  await page.waitForSelector("text=× 8 by hand");
  await settled(page);
  assert.notDeepEqual(await ids(page), before);
  await shot(page, "weights");
  await page.click("text=This request");
  for (const [form, words] of [["lapel", "lapel --server"], ["Python", "ParseDict"], ["TypeScript", "fromJson"], ["grpcurl", "grpcurl -plaintext"]]) {
    await page.click(`.tabs button:has-text("${form}")`);
    const text = (await page.textContent(".code")) ?? "";
    assert(words && text.includes(words) && text.includes("color"), text);
  }
  await shot(page, "request");
  await accessible(page);
});

flow("filters, ranges and groups narrow the results, and can be taken away", async (page) => {
  await at(page, `#/search?q=item:${await firstItem(page)}`);
  await settled(page);
  await page.click('summary:has-text("price")');
  await page.waitForSelector(".range rect");
  await page.fill('[aria-label="price to"]', "40");
  await page.keyboard.press("Tab");
  await page.waitForSelector('.chip:has-text("price up to 40")');
  await page.click('summary:has-text("category")');
  await page.click(".values .value >> nth=0");
  await page.waitForSelector('.chip:has-text("category:")');
  await page.selectOption('.results select >> nth=0', "product");
  await page.waitForSelector(".facts:has-text('product:')");
  await shot(page, "filters");
  await accessible(page);
  await page.click('.chip:has-text("category:")');
  await page.click('.chip:has-text("price up to 40")');
  await page.waitForSelector(".chip", { state: "detached" });
});

flow("what no item has is said, with what comes closest, and why an item is not there", async (page) => {
  const id = await firstItem(page);
  await at(page, `#/search?q=item:${id}&set=color:green&set=collar:hood&set=pattern:floral`);
  await page.waitForSelector(".attainable .chip");
  await shot(page, "unattainable");
  const [, absent = ""] = (await ids(page)).reverse();
  await at(page, `#/search?q=item:${id}&k=5`);
  await settled(page);
  await page.fill('[aria-label="Id of an item that is missing from the results"]', absent);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".detail .terms");
  assert.match((await page.textContent(".detail")) ?? "", /number \d+ of those that pass/);
  await shot(page, "why-not");
  await accessible(page);
  await page.click("text=Changes that lead somewhere");
  await page.waitForSelector(".suggestions button");
  await shot(page, "suggestions");
});

flow("likes and dislikes become weights, which are saved, undone and deleted", async (page) => {
  await at(page, `#/search?q=item:${await firstItem(page)}`);
  await settled(page);
  for (const [place, verdict, chip] of [[2, "Like", "like"], [4, "Like", "like"], [6, "Dislike", "dislike"]]) {
    const chips = await page.locator(`.chip.${chip}`).count();
    await page.click(`.card:nth-child(${place}) .actions button:text-is("${verdict}")`);
    await page.waitForSelector(`.chip.${chip} >> nth=${chips}`);
    await settled(page);
  }
  await page.waitForSelector(".weights small:has-text('disliked')");
  await shot(page, "picks");
  await accessible(page);
  await page.fill(".profiles input[name=name]", "autumn");
  await page.click("text=Save these weights");
  await page.waitForSelector("text=saved autumn, version 1");
  await page.click("text=Undo last pick");
  await page.waitForSelector(".chip.dislike", { state: "detached" });
  await page.selectOption(".profiles select", "autumn");
  page.on("dialog", (dialog) => void dialog.accept());
  await page.click(".profiles >> text=Delete");
  await page.waitForSelector("text=deleted autumn");
});

flow("an attribute is taught by keyboard, promoted and retired", async (page) => {
  await at(page, "#/teach");
  await page.fill("#name", "half");
  await page.fill("#labels", "top, bottom");
  await page.click("text=Begin labelling");
  await page.waitForSelector(".sheet .card >> nth=20");
  await page.focus(".sheet .card >> nth=0");
  for (const id of await ids(page)) await page.keyboard.press(/^(trouser|skirt|shorts|jean)/.test(id) ? "2" : "1");
  await page.click("text=What are they worth?");
  await page.waitForSelector(".worth");
  await shot(page, "teach");
  await accessible(page);
  await page.click('button:text-is("Teach")');
  await page.waitForSelector(".note");
  await page.click('button:text-is("Promote")');
  await page.waitForSelector(".state.active");
  await shot(page, "taught");
  await at(page, "#/heads");
  await page.waitForSelector('.versions tr:has-text("half") .state.active');
  await shot(page, "heads");
  await accessible(page);
  page.on("dialog", (dialog) => void dialog.accept());
  await page.click('.versions tr:has-text("half") >> text=Retire');
  await page.waitForSelector('.versions tr:has-text("half")', { state: "detached" });
});

flow("photos are uploaded with a result each, an item's labels are edited, and it is deleted", async (page) => {
  await at(page, "#/catalogue");
  await page.waitForSelector(".card");
  await page.setInputFiles(".drop input", [PHOTO, join(ROOT, "README.md")]);
  await page.waitForSelector("text=2 of 2: 1 stored, 1 refused");
  await shot(page, "upload");
  await accessible(page);
  await at(page, "#/catalogue?open=dress");
  await page.waitForSelector('.labels-table td:has-text("%")');
  await page.selectOption('[aria-label="stored label of color"]', "pink");
  await shot(page, "item");
  await accessible(page);
  page.on("dialog", (dialog) => void dialog.accept());
  await page.click("dialog >> text=Delete");
  await page.waitForSelector("dialog", { state: "detached" });
  await at(page, "#/server");
  await page.waitForSelector(".coverage td");
  await shot(page, "server");
  await accessible(page);
});

flow("in the dark and on a phone", async (page) => {
  await at(page, `#/search?q=item:${await firstItem(page)}&set=sleeve_length:short`);
  await settled(page);
  await accessible(page);
  await shot(page, "dark");
  await page.setViewportSize({ width: 390, height: 800 });
  await page.reload();
  await settled(page);
  await shot(page, "phone");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert(wide <= 390, `${wide} pixels wide`);
  await accessible(page);
}, { options: { colorScheme: "dark" } });

flow("an error is told in the server's words, and the page goes on", async (page) => {
  await at(page, "#/search?q=item:nothing-here");
  await page.waitForSelector('.failure:has-text("NOT_FOUND")');
  await shot(page, "error");
  await accessible(page);
  // The wire itself: a network that is gone for a while.
  await page.route("**/lapel.v1.*/**", (route) => route.abort());
  await at(page, `#/search?q=item:nothing-either`);
  await page.waitForSelector('.failure:has-text("reachable")');
  await page.unroute("**/lapel.v1.*/**");
  await at(page, `#/search?q=item:${await firstItem(page)}`);
  await settled(page);
}, { expected: /Failed to load resource|ERR_FAILED/ });

test("an empty catalogue says what to do", async () => {
  const empty = await start();
  try {
    await withPage(browser, {}, async (page) => {
      await page.goto(`${empty.url}/`);
      await page.waitForSelector("text=The catalogue is empty");
      await shot(page, "empty");
      await accessible(page);
    });
  } finally {
    await empty.stop();
  }
});
