// The real server for tests: started on a folder of its own and a free port, filled with photos of the demo, ended.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { connect } from "../src/node.js";
import type { FieldValueSchema, UpsertItemsRequestSchema } from "../src/v1.js";

/** The project's root, where the default configuration finds the models. Compiled tests lie four folders below it. */
export const ROOT = resolve(import.meta.dirname, "../../../..");
/** The program; `LAPEL_SERVER_PROGRAM` names another than the one that was built. */
export const PROGRAM = resolve(process.env.LAPEL_SERVER_PROGRAM ?? join(ROOT, "target/release/lapel-server"));

const WARDROBE = join(ROOT, "examples/wardrobe");
// Longer than a start or an end takes, on a slow machine too.
const WAIT_MS = 120_000;

export interface Server {
  readonly url: string;
  /** How many requests have not ended. */
  inFlight(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts a server on an empty catalogue; `settings` are configuration keys: `{ limits__k_max: "5" }`. */
export async function start(settings: Record<string, string> = {}): Promise<Server> {
  const data = await mkdtemp(join(tmpdir(), "lapel-"));
  const named = Object.entries(settings).map(([key, value]) => [`LAPEL__${key.toUpperCase()}`, value]);
  const child = spawn(PROGRAM, ["--listen", "127.0.0.1:0", "--data", join(data, "data"), "--log-json", "serve"], {
    cwd: ROOT,
    env: { ...process.env, RUST_LOG: "info", LAPEL__OPERATION__PROBES: "127.0.0.1:0", ...Object.fromEntries(named) },
    stdio: ["ignore", "inherit", "pipe"],
  });
  const { serving = "", probes = "" } = await addressesOf(child);
  return {
    // By a name that certificates have.
    url: settings.tls__certificate === undefined ? `http://${serving}` : `https://localhost:${serving.split(":").at(-1)}`,
    async inFlight() {
      const metrics = await (await fetch(`http://${probes}/metrics`)).text();
      return Number(/^lapel_requests_in_flight (\d+)$/m.exec(metrics)?.[1]);
    },
    async stop() {
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGTERM");
      await ended;
      await rm(data, { recursive: true });
    },
  };
}

// What its log says of the ports that the system chose.
const PORTS: Record<string, "serving" | "probes"> = { serving: "serving", "probes and metrics": "probes" };

/** Its addresses, once it serves. */
function addressesOf(child: ChildProcess): Promise<{ serving?: string; probes?: string }> {
  const log: string[] = [];
  const addresses: { serving?: string; probes?: string } = {};
  return new Promise((told, failed) => {
    const failure = (why: string) => failed(new Error(`the server ${why}\n${log.join("\n")}`));
    const timer = setTimeout(() => failure("did not start in time"), WAIT_MS);
    child.once("error", (cause) => failure(`cannot be started: ${cause.message}`));
    child.once("exit", (code) => failure(`ended with ${code}`));
    if (!child.stderr) return failure("has no log");
    createInterface(child.stderr).on("line", (line) => {
      log.push(line);
      if (!line.startsWith("{")) return;
      const { fields } = JSON.parse(line) as { fields?: { message?: string; address?: string } };
      const port = PORTS[fields?.message ?? ""];
      if (port === undefined || fields?.address === undefined) return;
      addresses[port] = fields.address;
      if (port !== "serving") return;
      clearTimeout(timer);
      told(addresses);
    });
  });
}

/** A photo of the demo. */
export interface DemoItem {
  readonly id: string;
  readonly image: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, MessageInitShape<typeof FieldValueSchema>>>;
}

/** One photo in `step` of the demo's, as items with their labels and a price. */
export async function wardrobe(step: number): Promise<DemoItem[]> {
  const [header = "", ...rows] = (await readFile(join(WARDROBE, "labels.csv"), "utf8")).trim().split("\n");
  const columns = header.split(",");
  const chosen = rows.filter((_, at) => at % step === 0);
  return await Promise.all(
    chosen.map(async (row, at) => {
      const [image = "", ...values] = row.split(",");
      const labels = values.flatMap((value, column) => (value === "" ? [] : [[columns[column + 1] ?? "", value]]));
      return {
        id: image.replace(".jpg", ""),
        image: await readFile(join(WARDROBE, "images", image)),
        labels: Object.fromEntries(labels) as Record<string, string>,
        fields: { price: { kind: { case: "number", value: 10 + at } }, product: { kind: { case: "keyword", value: `p${at % 9}` } } },
      };
    }),
  );
}

/** An item as it is sent. */
export type SentItem = MessageInitShape<typeof UpsertItemsRequestSchema>;

/** Stores items; all of them must be taken. */
export async function fill(url: string, items: readonly SentItem[]): Promise<void> {
  const lapel = connect({ baseUrl: url, timeoutMs: 300_000 });
  const messages = (async function* () {
    yield* items;
  })();
  const { results } = await lapel.catalog.upsertItems(messages);
  const refused = results.filter(({ error }) => error);
  if (refused.length > 0) throw new Error(`refused: ${refused.map(({ id, error }) => `${id}: ${error?.message}`).join(", ")}`);
}

/** A photo that is in no catalogue. */
export async function dress(): Promise<Uint8Array> {
  return await readFile(join(ROOT, "examples/queries/dress.jpg"));
}
