// Who calls: TLS with an authority of one's own, mutual TLS, tokens and what they may be used for.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "../src/node.js";
import { connect as connectFromBrowser } from "../src/web.js";
import { Authority } from "./certificates.js";
import { all, failureOf } from "./failures.js";
import { PROGRAM, start, type Server } from "./server.js";

const authority = new Authority();
const [serving, calling] = [authority.issue("localhost"), authority.issue("shop")];

let folder: string;
let secret: string;
let encrypted: Server;
let plain: Server;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lapel-"));
  const file = async (name: string, content: string) => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  // A token's entry goes to the standard output, its secret to the standard error.
  const { stdout, stderr } = spawnSync(PROGRAM, ["token", "shop", "--role", "search"], { encoding: "utf8" });
  secret = /LAPEL_TOKEN=(\S+)/.exec(stderr)?.[1] ?? "";
  const tokens = { access__tokens: await file("tokens.toml", stdout) };
  const tls = {
    tls__certificate: await file("server.pem", serving.cert),
    tls__key: await file("server.key", serving.key),
    tls__client_ca: await file("ca.pem", authority.cert),
  };
  [encrypted, plain] = await Promise.all([start({ ...tokens, ...tls }), start(tokens)]);
});

after(async () => {
  await Promise.all([encrypted?.stop(), plain?.stop()]);
  await rm(folder, { recursive: true });
});

test("mutual TLS with an authority of one's own", async () => {
  const tls = { ca: authority.cert, ...calling };
  const baseUrl = encrypted.url;
  const lapel = connect({ baseUrl, tls, token: secret });
  assert.equal((await lapel.catalog.countItems({})).itemsTotal, 0n);
  assert.equal((await failureOf(connect({ baseUrl, tls }).catalog.countItems({}))).status, "UNAUTHENTICATED");
  const strange = await failureOf(connect({ baseUrl, token: secret }).catalog.countItems({}));
  assert.match(strange.message, /certificate/);
  const nameless = { baseUrl, token: secret, tls: { ca: authority.cert }, attemptsMax: 1 };
  await failureOf(connect(nameless).catalog.countItems({}));
  await failureOf(connect({ ...nameless, baseUrl: baseUrl.replace("https", "http") }).catalog.countItems({}));
});

for (const [name, connected] of Object.entries({ "gRPC": connect, "gRPC-web": connectFromBrowser })) {
  test(`${name}: a token may do what its role says`, async () => {
    const lapel = connected({ baseUrl: plain.url, token: () => secret });
    assert.equal((await lapel.catalog.countItems({})).itemsTotal, 0n);
    const denied = await failureOf(lapel.feedback.saveProfile({ name: "mine", weights: { color: 1 } }));
    assert.equal(denied.status, "PERMISSION_DENIED");
    assert.equal((await failureOf(all(lapel.catalog.exportItems({})))).status, "PERMISSION_DENIED");
    for (const token of ["wrong", ""]) {
      const error = await failureOf(connected({ baseUrl: plain.url, token }).catalog.countItems({}));
      assert.equal(error.status, "UNAUTHENTICATED");
    }
  });
}
