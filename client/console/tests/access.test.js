// The console of a server that wants a token.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PROGRAM, start } from "../../typescript/build/tests/server.js";
import { accessible, launch, shot, withPage } from "./browser.js";

test("nothing of the console is served without a token, and it asks for one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lapel-"));
  const tokens = join(folder, "tokens.toml");
  const { secret, entry } = newToken();
  writeFileSync(tokens, entry);
  const server = await start({ access__tokens: tokens });
  const browser = await launch();
  try {
    assert.equal((await fetch(`${server.url}/assets/console.js`)).status, 404);
    await withPage(browser, {}, async (page) => {
      await page.goto(`${server.url}/`);
      await page.fill("#token", secret);
      await shot(page, "sign-in");
      await accessible(page);
      await page.click("button");
      await page.waitForSelector("text=The catalogue is empty");
      // Another tab has the cookie, and not the token.
      const other = await page.context().newPage();
      await other.goto(`${server.url}/`);
      await other.fill("dialog #token", secret);
      await other.click("dialog button:text-is('Sign in')");
      await other.waitForSelector("text=The catalogue is empty");
      await page.click("text=Sign out");
      await page.waitForSelector("#token");
    });
  } finally {
    await browser.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
});

/** A token's entry goes to the standard output, its secret to the standard error. */
function newToken() {
  const { stdout, stderr } = spawnSync(PROGRAM, ["token", "console", "--role", "search"], { encoding: "utf8" });
  const [, secret = ""] = /LAPEL_TOKEN=(\S+)/.exec(stderr) ?? [];
  return { entry: stdout, secret };
}
