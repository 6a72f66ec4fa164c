// Picks: what is liked and what is not becomes weights.
import assert from "node:assert/strict";
import { accessible, shot } from "../browser.js";
import { at, firstItem, flow, ids, settled } from "./shop.js";

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
  const [absent = ""] = (await ids(page)).reverse();
  await page.fill('[aria-label="Id of an item that is missing from the results"]', absent);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".detail .terms");
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

flow("results are judged and walked through by keyboard alone", async (page) => {
  await at(page, `#/search?q=item:${await firstItem(page)}`);
  await settled(page);
  await page.keyboard.press("Tab");
  await page.waitForSelector(".skip:focus");
  await page.keyboard.press("Enter");
  await page.focus(".card:nth-child(1) .look");
  await page.keyboard.press("ArrowRight");
  const second = (await ids(page))[1] ?? "";
  await page.keyboard.press("l");
  await page.waitForSelector(`.chip.like:has-text("${second}")`);
  await settled(page);
  await page.focus(".card:nth-child(1) .look");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".detail:focus");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".detail", { state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement?.className), "look");
  await page.keyboard.press("s");
  await page.waitForSelector(".chip.like", { state: "detached" });
  await settled(page);
});
