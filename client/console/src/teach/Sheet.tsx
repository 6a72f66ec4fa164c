// The sheet of pictures to label: a key a label, then the next picture.
import { useEffect, useRef, useState } from "preact/hooks";
import { lapel } from "../api";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { percent } from "../numbers";
import { Picture } from "../pictures";
import { examples, label, labels, name } from "./state";

const SHEET = 24;
// Items to choose a first sheet from.
const POOL_MAX = 1000;

interface Shown {
  readonly id: string;
  /** What the head sees in it; empty where there is none yet. */
  readonly guess: string;
}

export function Sheet({ taught }: { taught: boolean }) {
  const [round, setRound] = useState(0);
  const [suggested, setSuggested] = useState(true);
  // Asked for with the next sheet: the one that is being labelled stays.
  const bySuggestion = taught && suggested;
  const { data, error, busy, reload } = useLoaded(`${round}`, (signal) =>
    bySuggestion ? suggestedItems(signal) : spreadItems(signal),
  );
  // The picture that keys are for. Keys come faster than pages are drawn: `current` is what counts, `at` what is shown.
  const [at, setAt] = useState(0);
  const current = useRef(0);
  const place = useRef<HTMLUListElement>(null);
  const shown = data ?? [];
  const reach = (index: number) => {
    current.current = index;
    setAt(index);
  };
  const move = (index: number) => {
    const next = Math.max(0, Math.min(shown.length - 1, index));
    // Its `onFocus` does the rest.
    place.current?.querySelectorAll<HTMLElement>("[role=option]")[next]?.focus();
  };
  useEffect(() => {
    reach(0);
    // Not on arrival at the page, where the focus is wherever the reader has put it.
    if (round > 0) move(0);
  }, [data]);
  const give = (as: string | undefined) => {
    const at = current.current;
    const item = shown[at];
    if (!item) return;
    label(item.id, as);
    move(as === undefined ? at : at + 1);
  };
  const press = (event: KeyboardEvent) => {
    const at = current.current;
    const given = labels.value[Number(event.key) - 1];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (given !== undefined) give(given);
    else if (event.key === "0" || event.key === "Delete" || event.key === "Backspace") give(undefined);
    else if (event.key === "ArrowRight" || event.key === " ") move(at + 1);
    else if (event.key === "ArrowLeft") move(at - 1);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const row = columnsOf(place.current);
      move(at + (event.key === "ArrowDown" ? row : -row));
    } else return;
    event.preventDefault();
  };
  const done = shown.filter(({ id }) => examples.value.has(id)).length;
  return (
    <section class="results" aria-label="Pictures to label" aria-busy={busy}>
      <div class="bar top">
        <Keys give={give} pass={() => move(current.current + 1)} />
        <span class="quiet number" role="status">
          {done} of {shown.length} labelled
        </span>
        {taught && (
          <label class="field">
            <input type="checkbox" checked={suggested} onChange={(event) => setSuggested(event.currentTarget.checked)} />
            <span>those that teach most</span>
          </label>
        )}
        <button onClick={() => setRound(round + 1)}>Next sheet</button>
      </div>
      <Failure error={error} retry={reload} />
      {data?.length === 0 && <p class="empty">No item is left to label.</p>}
      <ul class="grid sheet" role="listbox" aria-label="Pictures" ref={place} onKeyDown={press}>
        {shown.map((item, index) => {
          const as = examples.value.get(item.id);
          return (
            <li
              key={item.id}
              role="option"
              data-item={item.id}
              class={as === undefined ? "card" : "card labelled"}
              tabIndex={index === at ? 0 : -1}
              aria-selected={index === at}
              onFocus={() => reach(index)}
            >
              <Picture id={item.id} alt="" />
              <div class="caption">
                <span class="id">{item.id}</span>
                <strong>{as ?? ""}</strong>
              </div>
              {item.guess && <p class="facts quiet">looks like {item.guess}</p>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** What keys do, and buttons for those who have none. */
function Keys({ give, pass }: { give: (as: string | undefined) => void; pass: () => void }) {
  return (
    <div class="keys" role="group" aria-label="Label the picture">
      {labels.value.map((known, index) => (
        <button key={known} onClick={() => give(known)}>
          <kbd>{index + 1}</kbd> {known}
        </button>
      ))}
      <button onClick={() => give(undefined)}>
        <kbd>0</kbd> none
      </button>
      <button onClick={pass}>
        <kbd>→</kbd> pass
      </button>
    </div>
  );
}

function columnsOf(grid: HTMLElement | null): number {
  return grid ? getComputedStyle(grid).gridTemplateColumns.split(" ").length : 1;
}

/** Items without a label, spread over the catalogue. */
async function spreadItems(signal: AbortSignal): Promise<Shown[]> {
  const { items } = await lapel.catalog.listItems({ pageSize: POOL_MAX }, { signal });
  const open = items.filter(({ id, hasImage }) => hasImage && !examples.peek().has(id));
  const step = Math.max(1, open.length / SHEET);
  return Array.from({ length: Math.min(SHEET, open.length) }, (_, at) => open[Math.floor(at * step)]).flatMap((item) =>
    item ? [{ id: item.id, guess: "" }] : [],
  );
}

/** Items whose labels would teach most. */
async function suggestedItems(signal: AbortSignal): Promise<Shown[]> {
  const excludeIds = [...examples.peek().keys()];
  const suggested = await lapel.heads.suggestExamples({ name: name.peek(), count: SHEET, excludeIds }, { signal });
  return suggested.examples.map(({ itemId, label: seen, probability, other }) => ({
    id: itemId,
    guess: `${seen} ${percent(probability)}${other === "" ? "" : `, or ${other}`}`,
  }));
}
