// Searching: what is searched like and how on the left, the results, and one of them looked at on the right.
import { useEffect, useState } from "preact/hooks";
import { catalog } from "../catalog";
import { DropZone } from "../DropZone";
import { imageOf } from "../photos";
import { SmallFold } from "../SmallFold";
import { Detail } from "./Detail";
import { Filters } from "./Filters";
import { Query, searchPhoto } from "./Query";
import { Results } from "./Results";
import { Seen } from "./Seen";
import { Start } from "./Start";
import { Suggestions } from "./Suggestions";
import { Weights } from "./Weights";
import { draggedItem } from "./drag";
import { PAGE, change, search } from "./state";

export function SearchPage() {
  const { query, liked, open, conditions } = search.value;
  useEffect(() => {
    // What is dropped or pasted anywhere is searched for.
    const drop = (event: DragEvent) => {
      if (event.defaultPrevented) return;
      event.preventDefault();
      void searchPhoto(imageOf(event.dataTransfer));
    };
    const paste = (event: ClipboardEvent) => void searchPhoto(imageOf(event.clipboardData));
    document.addEventListener("drop", drop);
    document.addEventListener("paste", paste);
    return () => {
      document.removeEventListener("drop", drop);
      document.removeEventListener("paste", paste);
    };
  }, []);
  const searching = query !== "" || liked.length > 0;
  return (
    <div class={open === "" ? "search" : "search looking"}>
      <div class="side">
        <Query />
        <SmallFold title="Attributes, weights, filters">
          {liked.length > 0 && <Weights />}
          {searching && <Seen />}
          {query !== "" && <SuggestionsFold />}
          {liked.length === 0 && <Weights />}
          {searching && <WhyNot />}
          {catalog.value && <Filters conditions={conditions} set={(next) => change({ conditions: next, k: PAGE })} />}
        </SmallFold>
      </div>
      {searching ? <Results /> : <Start />}
      <Detail />
    </div>
  );
}

/** Suggestions are asked for once somebody looks. */
function SuggestionsFold() {
  const [open, setOpen] = useState(false);
  return (
    <details class="section" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Changes that lead somewhere</summary>
      {open && <Suggestions />}
    </details>
  );
}

/** Asks for the place of any item, by its id or by dropping it. */
function WhyNot() {
  const ask = (id: string) => id !== "" && change({ open: id });
  return (
    <DropZone name="Why not this one?" class="section" take={(given) => ask(draggedItem(given))}>
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          const id = new FormData(event.currentTarget).get("id");
          if (typeof id === "string") ask(id.trim());
        }}
      >
        <input name="id" aria-label="Id of an item that is missing from the results" placeholder="why not… (an item's id)" autocomplete="off" />
        <button>Why not?</button>
      </form>
    </DropZone>
  );
}
