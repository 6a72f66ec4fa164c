// One item beside the query: why it is where it is, or why it is not among the results.
import { useEffect, useRef } from "preact/hooks";
import type { SearchResult } from "@lapel/client/v1";
import { Fields } from "../Fields";
import { Picture } from "../pictures";
import { Absent } from "./Absent";
import { Matches } from "./Matches";
import { Terms } from "./Terms";
import { answer } from "./model";
import { begin, change, judge, search } from "./state";

export function Detail() {
  const { open } = search.value;
  return open === "" ? null : <Looked open={open} />;
}

/** Back to the card that was looked at, or to where the reader is. */
function close(): void {
  const { open } = search.value;
  change({ open: "" });
  document.querySelector<HTMLElement>(`[data-item="${CSS.escape(open)}"] .look`)?.focus();
}

function Looked({ open }: { open: string }) {
  const place = useRef<HTMLElement>(null);
  useEffect(() => place.current?.focus({ preventScroll: true }), [open]);
  const result = answer.value?.ranked.find((ranked) => ranked.result.itemId === open)?.result;
  return (
    <aside
      class="detail"
      ref={place}
      tabIndex={-1}
      aria-label={`About ${open}`}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <header class="bar">
        <h2>{open}</h2>
        <button class="plain" aria-label="Close" onClick={close}>
          ✕
        </button>
      </header>
      <Picture id={open} picture={result?.picture ?? 0} />
      <div class="inline">
        <button aria-pressed={search.value.liked.includes(open)} onClick={() => judge(open, "liked")}>
          Like
        </button>
        <button aria-pressed={search.value.disliked.includes(open)} onClick={() => judge(open, "disliked")}>
          Dislike
        </button>
        <button onClick={() => change(begin(`item:${open}`))}>More like this</button>
      </div>
      {result ? <Explained result={result} /> : <Absent id={open} />}
    </aside>
  );
}

function Explained({ result }: { result: SearchResult }) {
  return (
    <>
      <Terms result={result} />
      <Matches matches={result.explanation?.attributes ?? []} />
      <Fields fields={result.fields} />
    </>
  );
}
