// Bundles of heads and files of generations, whole and in the parts that streams send. docs/bundle.md has the format.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { GenerationFile, type BuildGenerationRequestSchema, type RegisterHeadHeader, type RegisterHeadRequestSchema } from "../src/v1.js";
import { ROOT } from "./server.js";

const CHUNK_BYTES = 1 << 20;

export function sha256(...pieces: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

/** A head without a network, with one attribute of its own name. */
export function externalHead(name: string, dim: number, labels: string[]): Uint8Array {
  const manifest = JSON.stringify({ format: 1, name, kind: "external", dim, attributes: [{ name, labels }] });
  const hashes = { "lapel.manifest": manifest, "lapel.content_sha256": sha256(Buffer.from(manifest)) };
  const header = Buffer.from(JSON.stringify({ __metadata__: hashes }));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header]);
}

function* chunksOf(file: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < file.length; at += CHUNK_BYTES) yield file.subarray(at, at + CHUNK_BYTES);
}

/** What `registerHead` sends. */
export async function* headParts(
  bundle: Uint8Array,
  options: Partial<Pick<RegisterHeadHeader, "update" | "hold" | "requestId">> = {},
): AsyncGenerator<MessageInitShape<typeof RegisterHeadRequestSchema>> {
  const header = { sizeBytes: BigInt(bundle.length), sha256: sha256(bundle), ...options };
  yield { part: { case: "header", value: header } };
  for (const value of chunksOf(bundle)) yield { part: { case: "chunk", value } };
}

/** A file of a generation. */
export interface PartOfGeneration {
  readonly file: GenerationFile;
  readonly content: Uint8Array;
}

/** The paper's model with one head. */
export async function paperModel(): Promise<PartOfGeneration[]> {
  const files = { alexnet_features: GenerationFile.BACKBONE, extract_parts: GenerationFile.EXTRACT_PARTS, general: GenerationFile.HEAD };
  const folder = join(ROOT, "heads/bundles/alexnet");
  return await Promise.all(
    Object.entries(files).map(async ([name, file]) => ({ file, content: await readFile(join(folder, `${name}.safetensors`)) })),
  );
}

/** What `buildGeneration` sends. */
export async function* generationParts(
  files: readonly PartOfGeneration[],
  hold: boolean,
): AsyncGenerator<MessageInitShape<typeof BuildGenerationRequestSchema>> {
  for (const { file, content } of files) {
    const header = { file, sizeBytes: BigInt(content.length), sha256: sha256(content), hold };
    yield { part: { case: "header", value: header } };
    for (const value of chunksOf(content)) yield { part: { case: "chunk", value } };
  }
}
