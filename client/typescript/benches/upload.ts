// How fast items are uploaded, beside `lapel items import`: the same photos to the same server, one after the other.
//
//     node client/typescript/build/benches/upload.js --lapel target/release/lapel --items 10000
//
// The demo's photos are sent again and again under other ids, so that the folder takes no space but names. Both ways leave the
// same catalogue; the server (`--server`) is to be one of its own.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { connect, upload, type NewItem } from "../src/node.js";

const PHOTOS = resolve(import.meta.dirname, "../../../../examples/wardrobe/images");
// What one call deletes.
const DELETED = 10_000;

const { values } = parseArgs({
  options: {
    lapel: { type: "string" },
    items: { type: "string", default: "10000" },
    parallel: { type: "string", default: "4" },
    server: { type: "string", default: "http://127.0.0.1:7700" },
  },
});
if (values.lapel === undefined) throw new Error("--lapel: the command line's program");
const program = values.lapel;
const lapel = connect({ baseUrl: values.server, timeoutMs: 600_000 });

/** So many photos in a folder, as links. */
async function linked(folder: string, count: number): Promise<NewItem[]> {
  const photos = (await readdir(PHOTOS)).sort();
  const items = Array.from({ length: count }, (_, at) => {
    const id = `bench-${String(at).padStart(5, "0")}`;
    return { id, image: join(folder, `${id}.jpg`), photo: photos[at % photos.length] ?? "" };
  });
  for (const { image, photo } of items) await symlink(join(PHOTOS, photo), image);
  return items.map(({ id, image }) => ({ id, image }));
}

const folder = await mkdtemp(join(tmpdir(), "lapel-"));
const items = await linked(folder, Number(values.items));
const ways = {
  rust: async () => {
    await promisify(execFile)(program, ["--server", values.server, "items", "import", folder], { maxBuffer: 1 << 28 });
  },
  typescript: async () => {
    const { stored, refused } = await upload(lapel, items, { parallel: Number(values.parallel) });
    if (stored !== items.length) throw new Error(`refused: ${refused[0]?.error?.message}`);
  },
};
const rates: Record<string, number> = {};
for (const [who, run] of Object.entries(ways)) {
  const startMs = performance.now();
  await run();
  const rate = (1000 * items.length) / (performance.now() - startMs);
  rates[who] = rate;
  console.log(`${who.padEnd(10)} ${rate.toFixed(1).padStart(8)} items/s`);
  for (let at = 0; at < items.length; at += DELETED) {
    await lapel.catalog.deleteItems({ ids: items.slice(at, at + DELETED).map(({ id }) => id) });
  }
}
console.log(`${((100 * (rates.typescript ?? 0)) / (rates.rust ?? 1)).toFixed(0)} % of the rate in Rust`);
await rm(folder, { recursive: true });
