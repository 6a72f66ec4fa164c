// What the README shows is right by its types, and runs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { ROOT, fill, start, wardrobe } from "./server.js";

const PACKAGE = resolve(import.meta.dirname, "../..");
const PHOTO = join(ROOT, "examples/queries/dress.jpg");
// One in so many of the demo's photos.
const STEP = 150;

/** Runs a program, which must end well; gives what it said. */
function ran(cwd: string, ...command: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd, encoding: "utf8", timeout: 120_000 });
  assert.equal(status, 0, `${stdout}${stderr}`);
  return stdout;
}

test("the README's blocks, one behind the other", async () => {
  const text = await readFile(join(PACKAGE, "README.md"), "utf8");
  const blocks = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, block = ""]) => block);
  const shown = blocks.filter((block) => !block.startsWith("// Not run"));
  assert(shown.length >= 3);
  const server = await start();
  const folder = await mkdtemp(join(tmpdir(), "lapel-"));
  // Within the package, so that it is found by its name.
  const compiled = await mkdtemp(join(PACKAGE, "build/readme-"));
  try {
    await fill(server.url, await wardrobe(STEP));
    await mkdir(join(folder, "photos"));
    for (const name of ["photo.jpg", "photos/dress-01.jpg"]) await copyFile(PHOTO, join(folder, name));
    const source = join(compiled, "readme.mts");
    await writeFile(source, shown.join("\n").replaceAll("http://127.0.0.1:7700", server.url));
    const tsc = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");
    const options = "--ignoreConfig --strict --target es2022 --module nodenext --types node --skipLibCheck".split(" ");
    ran(PACKAGE, tsc, ...options, source);
    const said = ran(folder, join(compiled, "readme.mjs"));
    assert.match(said, /NOT_FOUND/);
    assert.match(said, /1 of 1/);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true });
    await rm(compiled, { recursive: true });
  }
});
