// Photos that are dropped become items, a result a file.
import { useRef, useState } from "preact/hooks";
import type { LapelError } from "@lapel/client";
import { link } from "../address";
import { failure, lapel } from "../api";
import { DropZone, FileButton } from "../DropZone";
import { Failure } from "../Failure";
import { PHOTO_TYPES, bytesOf } from "../photos";
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
  const waiting = useRef<File[]>([]);
  const sending = useRef(0);
  const send = async () => {
    sending.current++;
    for (let file = waiting.current.shift(); file; file = waiting.current.shift()) {
      const result = await stored(file);
      setResults((before) => [...before, result]);
    }
    if (--sending.current === 0) changed();
  };
  const take = (files: readonly File[]) => {
    if (files.length === 0) return;
    // What is dropped while others are on their way comes behind them.
    const goesOn = sending.current > 0;
    setTotal((before) => (goesOn ? before : 0) + files.length);
    if (!goesOn) setResults([]);
    waiting.current.push(...files);
    while (sending.current < Math.min(AT_ONCE, waiting.current.length + sending.current)) void send();
  };
  const stop = () => {
    const left = waiting.current.splice(0).length;
    setTotal((before) => before - left);
  };
  return (
    <DropZone name="Upload" take={(given) => take([...given.files])}>
      <FileButton text="Upload photos" accept={PHOTO_TYPES} multiple take={take} />
      <p class="quiet">or drop them here. A file's name becomes its item's id; an item that is there keeps its labels and fields.</p>
      {total > 0 && (
        <>
          <progress max={total} value={results.length} aria-label="uploaded" />
          <Outcome results={results} total={total} />
          {results.length < total && (
            <button class="plain" onClick={stop}>
              Stop
            </button>
          )}
        </>
      )}
    </DropZone>
  );
}

function Outcome({ results, total }: { results: readonly Result[]; total: number }) {
  const refused = results.filter(({ error }) => error);
  const taken = results.filter(({ error }) => !error);
  const replaced = taken.filter((result) => result.replaced).length;
  return (
    <>
      <p role="status">
        {results.length} of {total}: {taken.length} stored
        {replaced > 0 ? ` (${replaced} in place of what was there)` : ""}, {refused.length} refused
      </p>
      {refused.map(({ file, error }) => (
        <div key={file}>
          <strong>{file}</strong>
          <Failure error={error} />
        </div>
      ))}
      {taken.length > 0 && (
        <details>
          <summary>What was stored</summary>
          <ul class="plain-list">
            {taken.map((result) => (
              <li key={result.file}>
                {result.file} → <a href={link("catalogue", new URLSearchParams({ open: result.id }))}>{result.id}</a>
                {result.replaced && <span class="quiet"> in place of what was there</span>}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
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
