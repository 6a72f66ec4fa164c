// Pictures of items, fetched when they come into view and kept while there is room.
import { useEffect, useRef, useState } from "preact/hooks";
import { LapelError } from "@lapel/client";
import { lapel } from "./api";

const KEPT_MAX = 800;
const kept = new Map<string, Promise<string>>();

/** The URL of an item's picture, for this page alone. */
function pictureUrl(id: string, picture: number): Promise<string> {
  const key = `${picture} ${id}`;
  const url = kept.get(key) ?? fetchPicture(id, picture);
  // Last used, last dropped.
  kept.delete(key);
  kept.set(key, url);
  url.catch(() => kept.delete(key));
  for (const [oldest, dropped] of kept) {
    if (kept.size <= KEPT_MAX) break;
    kept.delete(oldest);
    void dropped.then(URL.revokeObjectURL, () => {});
  }
  return url;
}

/** Forgets the pictures of an item that was written anew. */
export function forgetPictures(id: string): void {
  for (const key of kept.keys()) if (key.slice(key.indexOf(" ") + 1) === id) kept.delete(key);
}

async function fetchPicture(id: string, picture: number): Promise<string> {
  try {
    const { image, contentType } = await lapel.catalog.getItemImage({ id, picture });
    return blobUrl([image], contentType);
  } catch (error) {
    if (!(error instanceof LapelError) || error.reason !== "ANSWER_TOO_LARGE") throw error;
  }
  const pieces: Uint8Array[] = [];
  let type = "";
  for await (const { chunk, contentType } of lapel.catalog.streamItemImage({ id, picture })) {
    pieces.push(chunk);
    type ||= contentType;
  }
  return blobUrl(pieces, type);
}

export function blobUrl(pieces: readonly Uint8Array[], type: string): string {
  return URL.createObjectURL(new Blob([...pieces] as BlobPart[], { type }));
}

/** An item's picture in a square. */
export function Picture({ id, picture = 0, alt }: { id: string; picture?: number; alt?: string }) {
  const place = useRef<HTMLDivElement>(null);
  const [url, setUrl] = useState<string | null>();
  useEffect(() => {
    let left = false;
    setUrl(undefined);
    const watcher = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watcher.disconnect();
        pictureUrl(id, picture).then(
          (found) => left || setUrl(found),
          () => left || setUrl(null),
        );
      },
      { rootMargin: "300px" },
    );
    if (place.current) watcher.observe(place.current);
    return () => {
      left = true;
      watcher.disconnect();
    };
  }, [id, picture]);
  return (
    <div class={url ? "picture" : "picture waiting"} ref={place}>
      {url ? <img src={url} alt={alt ?? id} /> : url === null ? <span class="quiet">no picture</span> : null}
    </div>
  );
}
