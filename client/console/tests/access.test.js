// How the console is reached: with a token, over TLS, behind a proxy's base path.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PROGRAM, fill, start, wardrobe } from "../../typescript/build/tests/server.js";
import { accessible, launch, shot, withPage } from "./browser.js";

// One in so many of the demo's photos: a few.
const STEP = 60;

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

test("over TLS, with a certificate and a token", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lapel-"));
  const [certificate, key, tokens] = ["server.pem", "server.key", "tokens.toml"].map((name) => join(folder, name));
  const { secret, entry } = newToken();
  writeFileSync(`${tokens}`, entry);
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const made = spawnSync("openssl", ["req", "-x509", ...kind, ...names, "-keyout", `${key}`, "-out", `${certificate}`]);
  assert.equal(made.status, 0, `openssl: ${made.error ?? made.stderr}`);
  const server = await start({ tls__certificate: `${certificate}`, tls__key: `${key}`, access__tokens: `${tokens}` });
  const browser = await launch();
  try {
    const url = server.url.replace("http:", "https:");
    await withPage(browser, { ignoreHTTPSErrors: true }, async (page) => {
      await page.goto(`${url}/`);
      await page.fill("#token", "no token");
      await page.click("button");
      await page.waitForSelector("text=does not know this token");
      await page.fill("#token", secret);
      await page.click("button");
      await page.waitForSelector("text=The catalogue is empty");
      await page.goto(`${url}/#/server`);
      await page.waitForSelector("text=with TLS");
    }, /401/);
  } finally {
    await browser.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
});

test("below a base path, behind a proxy", async () => {
  const server = await start({ web__base_path: "/shop" });
  const to = new URL(server.url);
  const proxy = createServer((asked, answer) => {
    const { method, headers, url: path } = asked;
    if (!path?.startsWith("/shop")) return void answer.writeHead(404).end();
    const passed = request({ host: to.hostname, port: to.port, method, headers, path }, (given) => {
      answer.writeHead(given.statusCode ?? 502, given.headers);
      given.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const address = proxy.address();
  assert(address && typeof address === "object");
  const browser = await launch();
  try {
    await fill(server.url, await wardrobe(STEP));
    await withPage(browser, {}, async (page) => {
      // Without its slash, it leads to the console, too.
      await page.goto(`http://127.0.0.1:${address.port}/shop`);
      await page.click(".card .look >> nth=0");
      await page.waitForSelector('.results[aria-busy="false"] .card .rank');
      await page.waitForSelector(".card .picture img");
      await page.click("text=This request");
      await page.waitForSelector("text=gRPC has no base path");
      assert.match((await page.textContent(".code")) ?? "", new RegExp(`--server http://127.0.0.1:${address.port} search`));
    });
  } finally {
    await browser.close();
    proxy.close();
    await server.stop();
  }
});
