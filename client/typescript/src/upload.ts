// Items on their way to the server, by several streams at a time, which are acknowledged as they go. For Node.js: browsers
// cannot stream requests.
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { LapelError } from "./errors.js";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Lapel } from "./index.js";
import { pause, retryDelayMs } from "./interceptors.js";
import { UpsertItemsRequestSchema, type UpsertItemsRequest } from "./v1.js";

// Items of one stream: so many that its beginning and end do not count, so few that they are shared out evenly.
const STREAM = 256;
// Streams in a row of which nothing was acknowledged, before an upload is given up; about a quarter of a minute.
const ATTEMPTS_MAX = 8;

/** A picture: the bytes of its file, or its path, or what loads it; these two when its turn comes, and again where a stream was cut off. */
export type Picture = Uint8Array | string | (() => Promise<Uint8Array>);

/** An item to add, replace or change (`updateMask`), with the fields of `UpsertItemsRequest`. */
export type NewItem = Omit<MessageInitShape<typeof UpsertItemsRequestSchema>, "$typeName" | "$unknown" | "id" | "image" | "moreImages"> & {
  /** 1 to 256 bytes. */
  readonly id: string;
  /** Its first picture. */
  readonly image?: Picture;
  /** Further pictures, e.g. of its back. */
  readonly moreImages?: readonly Picture[];
};

/** What has become of one item. */
export interface ItemResult {
  readonly id: string;
  /** Whether one with its id was there before. */
  readonly replaced: boolean;
  /** Whether an earlier run stored it, as the report says. */
  readonly skipped: boolean;
  /** Why it was refused; nothing of it is stored then. */
  readonly error: LapelError | undefined;
}

/** How far an upload is. */
export interface UploadProgress {
  /** What has just become known. */
  readonly results: readonly ItemResult[];
  /** Items of which it is known what became of them. */
  readonly done: number;
  /** Items in all; `undefined` where they do not come as an array. */
  readonly total: number | undefined;
  /** Of those done, how many were refused. */
  readonly refused: number;
  /** Items a second since the beginning. */
  readonly itemsPerSecond: number;
}

/** What has become of the items of an upload. */
export interface UploadSummary {
  /** Items that this upload stored; they are on the server's disk. */
  readonly stored: number;
  /** Items that an earlier run stored. */
  readonly skipped: number;
  /** Items that were refused, each with its error. */
  readonly refused: readonly ItemResult[];
}

/** How to upload. */
export interface UploadOptions {
  /** Streams at a time: 4. */
  readonly parallel?: number;
  /** Is called with every acknowledgement. What it throws ends the upload. */
  readonly onProgress?: (progress: UploadProgress) => void;
  /**
   * A file of a line an item, by which the same upload goes on after the program was ended; `lapel items import --report` writes
   * and reads the same.
   */
  readonly report?: string;
  /** Ends the upload. */
  readonly signal?: AbortSignal;
}

/**
 * Adds, replaces or changes items, of any number, each id once; one that is refused does not touch the others. What the server
 * acknowledged is on its disk. A stream that is cut off is followed by another, behind the last item that was acknowledged; where
 * that does not help, the upload throws the `LapelError`, and what was stored is what `onProgress` and the report were told.
 */
export async function upload(
  lapel: Lapel,
  items: Iterable<NewItem> | AsyncIterable<NewItem>,
  options: UploadOptions = {},
): Promise<UploadSummary> {
  const { parallel = 4, signal } = options;
  if (!(parallel >= 1)) throw new RangeError("parallel is at least 1");
  const log = new UploadLog(Array.isArray(items) ? items.length : undefined, options);
  const chunks = chunksOf(items, log);
  // The first stream that fails ends the others.
  const failed = new AbortController();
  const ending = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const worker = async () => {
    try {
      for await (const chunk of chunks) await send(lapel, chunk, log, ending);
    } catch (cause) {
      failed.abort(cause);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  log.close();
  failed.signal.throwIfAborted();
  return log.summary();
}

/** The items that are to be sent. Several may read it: each chunk goes to one of them. */
async function* chunksOf(items: Iterable<NewItem> | AsyncIterable<NewItem>, log: UploadLog): AsyncGenerator<NewItem[]> {
  let chunk: NewItem[] = [];
  for await (const item of items) {
    if (!log.isToBeSent(item.id)) continue;
    chunk.push(item);
    if (chunk.length < STREAM) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

/** Sends items until it is known what became of each. */
async function send(lapel: Lapel, items: readonly NewItem[], log: UploadLog, signal: AbortSignal): Promise<void> {
  const unsettled = new Set(items);
  for (let attempt = 1; ; attempt++) {
    const before = unsettled.size;
    const error = await stream(lapel, unsettled, log, signal);
    if (unsettled.size === 0) return;
    // An acknowledgement shows that attempts lead somewhere.
    const hasProgress = unsettled.size < before;
    if (hasProgress) attempt = 1;
    const delayMs = retryDelayMs(error, attempt) ?? (hasProgress ? 0 : undefined);
    if (delayMs === undefined || attempt >= ATTEMPTS_MAX || signal.aborted) throw error;
    await pause(delayMs, signal).catch((cause: unknown) => {
      throw new LapelError(cause, signal);
    });
  }
}

/** Sends items by one stream, and takes out those that it settles. Gives why it did not settle the others. */
async function stream(lapel: Lapel, unsettled: Set<NewItem>, log: UploadLog, signal: AbortSignal): Promise<LapelError> {
  const sent: NewItem[] = [];
  const unreadable: { readonly item: NewItem; readonly error: LapelError }[] = [];
  async function* messages() {
    for (const item of [...unsettled]) {
      let message;
      try {
        message = await messageOf(item);
      } catch (cause) {
        unreadable.push({ item, error: notSent(`it was not sent: ${cause}`) });
        continue;
      }
      sent.push(item);
      yield { item: message };
    }
  }
  const settle = (item: NewItem, error: LapelError | undefined, replaced = false): ItemResult => {
    unsettled.delete(item);
    return { id: item.id, replaced, skipped: false, error };
  };
  let failure = new LapelError(new ConnectError("the server ended an upload before its end", Code.Unavailable));
  try {
    for await (const { results } of lapel.catalog.upsertItemsStream(messages(), { signal })) {
      const known = results.flatMap(({ message, error, replaced }) => {
        const item = sent[Number(message) - 1];
        return item ? [settle(item, error && refusal(error), replaced)] : [];
      });
      log.add(known);
    }
  } catch (cause) {
    // What the log throws is for the caller.
    if (!(cause instanceof LapelError)) throw cause;
    failure = cause;
  }
  log.add(unreadable.map(({ item, error }) => settle(item, error)));
  return failure;
}

/** What is sent of an item; its pictures are read. */
async function messageOf({ image, moreImages = [], ...rest }: NewItem): Promise<UpsertItemsRequest> {
  const message = create(UpsertItemsRequestSchema, rest);
  // A value of a wrong type would end the stream; so it refuses its item alone.
  toBinary(UpsertItemsRequestSchema, message);
  if (image !== undefined) message.image = await bytesOf(image);
  message.moreImages = await Promise.all(moreImages.map(bytesOf));
  return message;
}

async function bytesOf(picture: Picture): Promise<Uint8Array> {
  if (picture instanceof Uint8Array) return picture;
  const bytes = await (typeof picture === "string" ? readFile(picture) : picture());
  // A message without a picture would mean an item without one.
  if (bytes.length === 0) throw new Error(typeof picture === "string" ? `the file ${picture} is empty` : "the picture is empty");
  return bytes;
}

/** Why an item was refused, as an error. */
function refusal({ code, message, reason }: { code: Code; message: string; reason: string }): LapelError {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "lapel" } };
  return new LapelError(new ConnectError(message, code, { "grpc-status": String(code) }, [info]));
}

function notSent(message: string): LapelError {
  return refusal({ code: Code.InvalidArgument, message, reason: "NOT_SENT" });
}

/** What has become of an upload's items: counted, told, and kept in a file by which a later run goes on. */
class UploadLog {
  private readonly startMs = performance.now();
  private readonly ids = new Set<string>();
  private readonly storedBefore: ReadonlySet<string>;
  private readonly file: number | undefined;
  private readonly refused: ItemResult[] = [];
  private done = 0;
  private skipped = 0;

  constructor(
    private readonly total: number | undefined,
    private readonly options: UploadOptions,
  ) {
    const { report } = options;
    this.storedBefore = report === undefined ? new Set() : storedIn(report);
    this.file = report === undefined ? undefined : openSync(report, "a");
  }

  /** Whether an item is not stored yet; one that comes twice is refused. */
  isToBeSent(id: string): boolean {
    if (this.ids.has(id)) {
      this.add([{ id, replaced: false, skipped: false, error: notSent("this id came before") }]);
      return false;
    }
    this.ids.add(id);
    if (!this.storedBefore.has(id)) return true;
    this.add([{ id, replaced: false, skipped: true, error: undefined }]);
    return false;
  }

  /** Notes what has become of items. */
  add(results: readonly ItemResult[]): void {
    if (results.length === 0) return;
    if (this.file !== undefined) writeSync(this.file, results.map(lineOf).join(""));
    this.done += results.length;
    this.skipped += results.filter(({ skipped }) => skipped).length;
    this.refused.push(...results.filter(({ error }) => error));
    const itemsPerSecond = (1000 * this.done) / Math.max(performance.now() - this.startMs, 1);
    this.options.onProgress?.({ results, done: this.done, total: this.total, refused: this.refused.length, itemsPerSecond });
  }

  summary(): UploadSummary {
    return { stored: this.done - this.skipped - this.refused.length, skipped: this.skipped, refused: this.refused };
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
  }
}

/** A line of a report, as `lapel items import` writes it. */
function lineOf({ id, replaced, skipped, error }: ItemResult): string {
  if (skipped) return "";
  const line = error ? { id, stored: false, error: error.message } : { id, stored: true, replaced };
  return `${JSON.stringify(line)}\n`;
}

/** Ids that a report says are stored. A last line that was cut off is removed; a file that is no report stays as it is. */
function storedIn(report: string): ReadonlySet<string> {
  const stored = new Set<string>();
  if (!existsSync(report)) return stored;
  const bytes = readFileSync(report);
  const wholeBytes = bytes.lastIndexOf("\n") + 1;
  const lines = bytes.toString("utf8", 0, wholeBytes).split("\n").slice(0, -1);
  lines.forEach((line, at) => {
    const known = parsed(line);
    if (known === undefined) throw new Error(`${report}, line ${at + 1} is not of a report that an upload wrote; give another file`);
    if (known.stored) stored.add(known.id);
  });
  if (wholeBytes < bytes.length) {
    if (bytes.at(wholeBytes) !== "{".charCodeAt(0)) throw new Error(`${report} is not a report that an upload wrote; give another file`);
    truncateSync(report, wholeBytes);
  }
  return stored;
}

function parsed(line: string): { id: string; stored: boolean } | undefined {
  try {
    const { id, stored } = JSON.parse(line) as Record<string, unknown>;
    return typeof id === "string" && typeof stored === "boolean" ? { id, stored } : undefined;
  } catch {
    return undefined;
  }
}
