// What docs/developer.md shows runs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ROOT, fill, start, wardrobe } from "./server.js";

// One in so many of the demo's photos.
const STEP = 60;

test("the example describes, searches and meets an error", async () => {
  const server = await start();
  try {
    await fill(server.url, await wardrobe(STEP));
    const program = join(import.meta.dirname, "../examples/search.js");
    const photo = join(ROOT, "examples/queries/dress.jpg");
    const env = { ...process.env, LAPEL_SERVER: server.url, LAPEL_TOKEN: "" };
    const { stdout } = await promisify(execFile)(process.execPath, [program, photo], { env });
    for (const told of [/^sleeve_length long/m, /^[a-z]+-\d+ \d.* (true|false)$/m, /^INVALID_ARGUMENT k /m]) assert.match(stdout, told);
  } finally {
    await server.stop();
  }
});
