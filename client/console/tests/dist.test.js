// What the server has in itself: small, and of others only what may be passed on.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const CONSOLE = resolve(import.meta.dirname, "..");
const DIST = join(CONSOLE, "dist");
const BYTES_MAX = 250 * 1024;
const LICENSES = ["Apache-2.0", "MIT", "(Apache-2.0 AND BSD-3-Clause)"];

test("the files are small, and have no script or style in a page", () => {
  const files = readdirSync(DIST, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.map((file) => gzipSync(readFileSync(join(file.parentPath, file.name))).length);
  const sum = bytes.reduce((total, size) => total + size, 0);
  assert(sum <= BYTES_MAX, `${sum} bytes compressed`);
  const page = readFileSync(join(DIST, "index.html"), "utf8");
  assert.doesNotMatch(page, /<style|style=|<script(?![^>]* src=)|https?:/);
});

test("what is passed on has known terms", () => {
  const { packages } = JSON.parse(readFileSync(join(CONSOLE, "../package-lock.json"), "utf8"));
  for (const [name, { dev, link, license }] of Object.entries(packages)) {
    if (name !== "" && !dev && !link) assert(LICENSES.includes(license), `${name}: ${license}`);
  }
});
