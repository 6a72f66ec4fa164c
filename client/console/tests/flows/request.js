// The request behind the screen: each text that the dialog gives is run, and must find what is on the screen.
import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { spawnSync } from "node:child_process";
import { PROGRAM } from "../../../typescript/build/tests/server.js";
import { accessible, shot } from "../browser.js";
import { PHOTO, at, firstItem, flow, ids, said, settled } from "./shop.js";

/** @typedef {import("./shop.js").Page} Page */

// Has the package `lapel`; `LAPEL_PYTHON` names another than the system's.
const PYTHON = process.env.LAPEL_PYTHON ?? "python3";
const PATH = `${dirname(PROGRAM)}${delimiter}${process.env.PATH ?? ""}`;
// Where the clients of the workspace are found.
const BUILD = resolve(import.meta.dirname, "../../build");

/**
 * @param {Page} page
 * @param {string} form
 */
async function textOf(page, form) {
  await page.click(`.tabs button:text-is("${form}")`);
  return (await page.textContent(".code")) ?? "";
}

/**
 * The first word of each line that a program prints.
 * @param {string} output
 */
function firstWords(output) {
  return output.trim().split("\n").map((line) => line.split(" ")[0]);
}

/**
 * The ids in an answer that `lapel --json` prints.
 * @param {string} output
 */
function answered(output) {
  const { results, groups } = JSON.parse(output);
  const found = groups?.length > 0 ? groups.flatMap((/** @type {any} */ group) => group.results) : results;
  return found.map((/** @type {any} */ result) => result.item_id ?? result.itemId);
}

/**
 * Runs all texts of what is on the screen.
 * @param {Page} page
 * @param {boolean} python whether there is the Python client
 */
async function runs(page, python) {
  await settled(page);
  const shown = await ids(page);
  assert(shown.length > 0);
  await page.click("text=This request");
  const folder = await mkdtemp(join(tmpdir(), "lapel-"));
  try {
    await copyFile(PHOTO, join(folder, "photo.jpg"));
    const options = { cwd: folder, env: { ...process.env, PATH } };
    const command = (await textOf(page, "lapel")).replace(/^lapel /, "lapel --json ");
    assert.deepEqual(answered(said("bash", ["-c", command], options)), shown, command);
    const typescript = await textOf(page, "TypeScript");
    await mkdir(BUILD, { recursive: true });
    const program = join(BUILD, "request.mjs");
    await writeFile(program, typescript);
    assert.deepEqual(firstWords(said("node", [program], options)), shown, typescript);
    if (python) {
      const text = await textOf(page, "Python");
      assert.deepEqual(firstWords(said(PYTHON, ["-c", text], options)), shown, text);
    }
    assert.match(await textOf(page, "grpcurl"), /^grpcurl -plaintext /);
  } finally {
    await rm(folder, { recursive: true });
  }
  await page.keyboard.press("Escape");
}

flow("the request finds the same as a command and as programs", async (page, log) => {
  const python = spawnSync(PYTHON, ["-c", "import lapel.v1"]).status === 0;
  if (!python) log(`the Python texts are left out: ${PYTHON} has no package lapel`);
  const id = await firstItem(page);
  const [second, third, fourth] = (await ids(page)).slice(1, 4);
  await at(page, `#/search?q=item:${id}`);
  await runs(page, python);
  await at(page, `#/search?q=item:${id}&range=price:10|60&label=category:dress|blouse|blazer&group=product`);
  await runs(page, python);
  await at(page, `#/search?q=item:${id}&set=color:red&times=fit:4&times=length:0&times=color:0.5&relevance=0.7&field=product:p1|p2|p3`);
  await runs(page, python);
  await at(page, `#/search?q=item:${id}&like=${second}&like=${third}&not=${fourth}&set=color:black&label=category:dress|blouse|blazer`);
  await runs(page, python);
  await page.goto("about:blank");
  await at(page, "");
  await page.waitForSelector(".card");
  await page.setInputFiles(".query input[type=file]", PHOTO);
  await settled(page);
  await page.click('.row:has-text("sleeve length")');
  await page.click('.label:has-text("short")');
  await page.waitForSelector(".card.all");
  await runs(page, python);
  await page.click("text=This request");
  await shot(page, "request");
  await accessible(page);
});
