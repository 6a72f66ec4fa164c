// The request behind the screen: each text that the dialog gives is run, and must find what is on the screen.
import assert from "node:assert/strict";
import { copyFile, mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
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
 * The ids in an answer that `lapel --json` prints.
 * @param {string} output
 */
function answered(output) {
  const { results, groups } = JSON.parse(output);
  const found = groups?.length > 0 ? groups.flatMap((/** @type {any} */ group) => group.results) : results;
  return found.map((/** @type {any} */ result) => result.item_id ?? result.itemId);
}

/**
 * The first words of the lines that programs print, which have a line of "--" behind each.
 * @param {string} output
 */
function firstWords(output) {
  const printed = output.split(/^--\n/m).slice(0, -1);
  return printed.map((part) => part.trim().split("\n").map((line) => line.split(" ")[0]));
}

/**
 * What is on the screen, and the programs that must find the same; the command has done so.
 * @param {Page} page
 * @param {import("node:child_process").SpawnSyncOptions} options
 */
async function asked(page, options) {
  await settled(page);
  const shown = await ids(page);
  assert(shown.length > 0);
  await page.click("text=This request");
  const command = (await textOf(page, "lapel")).replace(/^lapel /, "lapel --json ");
  assert.deepEqual(answered(said("bash", ["-c", command], options)), shown, command);
  assert.match(await textOf(page, "grpcurl"), /^grpcurl -plaintext /);
  const programs = { shown, python: await textOf(page, "Python"), typescript: await textOf(page, "TypeScript") };
  await page.keyboard.press("Escape");
  return programs;
}

flow("the request finds the same as a command and as programs", async (page, log) => {
  const folder = await mkdtemp(join(tmpdir(), "lapel-"));
  await copyFile(PHOTO, join(folder, "photo.jpg"));
  const options = { cwd: folder, env: { ...process.env, PATH } };
  const id = await firstItem(page);
  const [second, third, fourth] = (await ids(page)).slice(1, 4);
  const found = [];
  for (const more of [
    "",
    "&range=price:10|60&label=category:dress|blouse|blazer&group=product",
    "&set=color:red&times=fit:4&times=length:0&times=color:0.5&relevance=0.7&field=product:p1|p2|p3",
    `&like=${second}&like=${third}&not=${fourth}&set=color:black&label=category:dress|blouse|blazer`,
  ]) {
    await at(page, `#/search?q=item:${id}${more}`);
    found.push(await asked(page, options));
  }
  await at(page, "#/search");
  await page.waitForSelector("text=Drop a photo, or begin with one of");
  await page.setInputFiles(".query input[type=file]", PHOTO);
  await settled(page);
  await page.click('.row:has-text("sleeve length")');
  await page.click('.label:has-text("short")');
  await page.waitForSelector(".card.all");
  found.push(await asked(page, options));
  await page.click("text=This request");
  await shot(page, "request");
  await accessible(page);
  const shown = found.map((programs) => programs.shown);

  await mkdir(BUILD, { recursive: true });
  const modules = found.map((_, number) => join(BUILD, `request-${number}.mjs`));
  await Promise.all(found.map(({ typescript }, number) => writeFile(`${modules[number]}`, typescript)));
  const all = 'for (const module of process.argv.slice(1)) { await import(module); console.log("--"); }';
  assert.deepEqual(firstWords(said("node", ["--input-type=module", "-e", all, ...modules], options)), shown);
  if (spawnSync(PYTHON, ["-c", "import lapel.v1"]).status === 0) {
    const programs = found.map(({ python }) => `${python}\nprint("--")\n`);
    assert.deepEqual(firstWords(said(PYTHON, ["-c", programs.join("")], options)), shown);
  } else {
    log(`the Python texts are left out: ${PYTHON} has no package lapel`);
  }
  await rm(folder, { recursive: true });
});
