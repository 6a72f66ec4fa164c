// Photos that are dropped become items, a result a file.
import { useState } from "preact/hooks";
import { Failure } from "../Failure";
import { failure, lapel } from "../api";
import type { LapelError } from "@lapel/client";
import { bytesOf } from "../photos";
import { forgetPictures } from "../pictures";

// Calls at a time: enough to keep the server's batches full over a browser's six connections.
const AT_ONCE = 4;

interface Result {
  readonly file: string;
  readonly id: string;
  readonly error?: LapelError;
  readonly replaced?: boolean;
}

export function Upload({ changed }: { changed: () => void }) {
  const [results, setResults] = useState<readonly Result[]>([]);
  const [total, setTotal] = useState(0);
  const [over, setOver] = useState(false);
  const upload = async (files: readonly File[]) => {
    if (files.length === 0) return;
    setTotal(files.length);
    setResults([]);
    const waiting = [...files];
    const send = async () => {
      for (let file = waiting.shift(); file; file = waiting.shift()) {
        const result = await stored(file);
        setResults((before) => [...before, result]);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, send));
    changed();
  };
  const refused = results.filter(({ error }) => error);
  const replaced = results.filter((result) => result.replaced).length;
  return (
    <section
      aria-label="Upload"
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void upload([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      <label class="button">
        Upload photos
        <input
          type="file"
          multiple
          class="hidden"
          accept="image/jpeg,image/png,image/webp"
          onChange={(event) => void upload([...(event.currentTarget.files ?? [])])}
        />
      </label>
      <p class="quiet">or drop them here. A file's name becomes its item's id; an item that is there keeps its labels and fields.</p>
      {total > 0 && (
        <>
          <progress max={total} value={results.length} aria-label="uploaded" />
          <p role="status">
            {results.length} of {total}: {results.length - refused.length} stored
            {replaced > 0 ? ` (${replaced} in place of what was there)` : ""}, {refused.length} refused
          </p>
        </>
      )}
      {refused.map(({ file, error }) => (
        <div key={file}>
          <strong>{file}</strong>
          <Failure error={error} />
        </div>
      ))}
    </section>
  );
}

async function stored(file: File): Promise<Result> {
  const id = file.name.replace(/\.[^.]+$/, "");
  try {
    const image = await bytesOf(file);
    const { replaced } = await lapel.catalog.upsertItem({ item: { id, image, keepOthers: true } });
    forgetPictures(id);
    return { file: file.name, id, replaced };
  } catch (cause) {
    return { file: file.name, id, error: failure(cause) };
  }
}
