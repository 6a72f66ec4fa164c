// What is searched like: a photo or an item, with the parts that were found drawn on it.
import { useEffect, useState } from "preact/hooks";
import { DropZone, FileButton } from "../DropZone";
import { Picture, blobUrl } from "../pictures";
import { PHOTO_TYPES, bytesOf, imageOf, keepPhoto, photoOf } from "../photos";
import { draggedItem } from "./drag";
import { seen } from "./model";
import { begin, change, search } from "./state";

/** Searches for a photo. */
export async function searchPhoto(file: File | undefined): Promise<void> {
  if (file) change(begin(`photo:${keepPhoto(await bytesOf(file))}`));
}

export function Query() {
  const { query } = search.value;
  const take = (given: DataTransfer) => {
    const id = draggedItem(given);
    if (id === "") void searchPhoto(imageOf(given));
    else change(begin(`item:${id}`));
  };
  return (
    <DropZone name="Query" class="query" take={take}>
      {query !== "" && <Subject query={query} />}
      <div class="pick">
        <FileButton
          text={query === "" ? "Choose a photo" : "Another photo"}
          accept={PHOTO_TYPES}
          take={([file]) => void searchPhoto(file)}
        />
        <ItemField />
        {query !== "" && (
          <button class="plain" onClick={() => change(begin(""))}>
            Clear
          </button>
        )}
      </div>
      <p class="quiet">or drop or paste one anywhere</p>
    </DropZone>
  );
}

function ItemField() {
  return (
    <form
      class="inline"
      onSubmit={(event) => {
        event.preventDefault();
        const field = new FormData(event.currentTarget).get("item");
        const id = typeof field === "string" ? field.trim() : "";
        if (id !== "") change(begin(`item:${id}`));
      }}
    >
      <input name="item" aria-label="Id of an item to search like" placeholder="or an item's id" autocomplete="off" />
    </form>
  );
}

function Subject({ query }: { query: string }) {
  const id = query.startsWith("item:") ? query.slice("item:".length) : undefined;
  return (
    <figure>
      <div class="subject">
        {id === undefined ? <Photo photoKey={query.slice("photo:".length)} /> : <Picture id={id} alt={`query: ${id}`} />}
        <Parts />
      </div>
      <figcaption>
        {id ?? "your photo"}
        {seen.value?.parts && <span class="quiet"> · {seen.value.parts.case.replace("_", " ")}</span>}
        {seen.value?.parts?.segmented === false && (
          <span class="warn"> · no garment was told from the background: everything is unsure</span>
        )}
      </figcaption>
    </figure>
  );
}

function Photo({ photoKey }: { photoKey: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const bytes = photoOf(photoKey);
    if (!bytes) return setUrl("");
    const made = blobUrl([bytes], "");
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [photoKey]);
  return <div class="picture">{url && <img src={url} alt="the photo that is searched like" />}</div>;
}

/** Rectangles in fractions of the square that the photo is fitted into. */
function Parts() {
  const rects = Object.entries(seen.value?.parts?.rects ?? {});
  if (rects.length === 0) return null;
  return (
    <svg class="parts" viewBox="0 0 1 1" role="img" aria-label={`parts found: ${rects.map(([name]) => name).join(", ")}`}>
      {rects.map(([name, { x0, y0, x1, y1 }]) => (
        <g key={name}>
          <title>{name.replace("_", " ")}</title>
          <rect x={x0} y={y0} width={x1 - x0} height={y1 - y0} />
          <text x={Math.min(x0 + 0.008, 0.75)} y={y0 + 0.033}>
            {name.replace("_", " ")}
          </text>
        </g>
      ))}
    </svg>
  );
}
