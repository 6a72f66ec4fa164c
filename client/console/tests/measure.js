// Measures the console on a catalogue of 20,000 items, beside no other load: `npm run measure -w console`. 350 of them are the
// demo's photos; the others have signatures near theirs, and no picture.
import { connect } from "../../typescript/build/src/node.js";
import { fill, start, wardrobe } from "../../typescript/build/tests/server.js";
import { launch, withPage } from "./browser.js";

/** @typedef {import("../../typescript/build/src/v1.js").ExportItemsResponse} Exported */
/** @typedef {import("../../typescript/build/tests/server.js").SentItem} NewItem */

const ITEMS = 20_000;
const MOVES = 60;
const PAINTS = 5;
// Of each number of a signature of unit length.
const NOISE = 0.05;

/** A generator of numbers from 0 to 1, the same ones each time (Park and Miller). */
function random() {
  let state = 7;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

/**
 * Items with signatures near those that are there.
 * @param {Exported[]} known
 * @returns {Generator<NewItem>}
 */
function* near(known) {
  const next = random();
  for (let number = known.length; number < ITEMS; number++) {
    const like = known[number % known.length];
    const signatures = (like?.signatures ?? []).map(({ head, values }) => ({
      head,
      values: values.map((value) => value + NOISE * (next() + next() + next() - 1.5)),
    }));
    const price = { kind: { case: /** @type {const} */ ("number"), value: 10 + (number % 190) } };
    yield { id: `near-${number}`, labels: like?.item?.labels ?? {}, signatures, fields: { price } };
  }
}

/** @param {number[]} times */
function told(times) {
  const ordered = [...times].sort((a, b) => a - b);
  const at = (/** @type {number} */ share) => (ordered[Math.floor(share * (ordered.length - 1))] ?? 0).toFixed(0);
  return `median ${at(0.5)} ms, p90 ${at(0.9)} ms, slowest ${at(1)} ms of ${times.length}`;
}

const [server, browser] = await Promise.all([start(), launch()]);
try {
  await fill(server.url, await wardrobe(1));
  const lapel = connect({ baseUrl: server.url });
  /** @type {Exported[]} */
  const known = [];
  for await (const item of lapel.catalog.exportItems({ noImages: true })) known.push(item);
  const items = [...near(known)];
  for (let from = 0; from < items.length; from += 5000) await fill(server.url, items.slice(from, from + 5000));
  await withPage(browser, {}, async (page) => {
    const address = `${server.url}/#/search?q=item:${known[0]?.item?.id}`;
    const paints = [];
    for (let time = 0; time < PAINTS; time++) {
      await page.goto("about:blank");
      await page.goto(address);
      const painted = await page.waitForFunction(() => document.querySelectorAll(".card .rank").length >= 40 && performance.now());
      paints.push(Number(await painted.jsonValue()));
    }
    console.log(`a page of 40 results, from the address on: ${told(paints)}`);
    // From the move of a slider to the frame in which what it led to is painted.
    const moves = await page.evaluate(async (number) => {
      const slider = /** @type {HTMLInputElement} */ (document.querySelector('[aria-label="how much color counts"]'));
      const results = /** @type {HTMLElement} */ (document.querySelector(".results"));
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      const times = [];
      for (let move = 0; move < number; move++) {
        const begun = performance.now();
        const answered = new Promise((/** @type {(value?: unknown) => void} */ done) => {
          const watcher = new MutationObserver(() => {
            if (results.getAttribute("aria-busy") !== "false") return;
            watcher.disconnect();
            done();
          });
          watcher.observe(results, { attributeFilter: ["aria-busy"] });
        });
        slider.value = `${-2.9 + (5.8 * ((move * 7) % number)) / number}`;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await answered;
        await frame();
        await frame();
        times.push(performance.now() - begun);
      }
      return times;
    }, MOVES);
    console.log(`a slider's move, to the frame that shows the new ranks: ${told(moves)}`);
  });
} finally {
  await browser.close();
  await server.stop();
}
