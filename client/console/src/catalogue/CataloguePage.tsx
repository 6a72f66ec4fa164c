// The catalogue: browse by labels and fields, upload, edit labels, and what is missing or damaged.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Item } from "@lapel/client/v1";
import type { LapelError } from "@lapel/client";
import { address, go } from "../address";
import { failure, lapel } from "../api";
import { catalog, catalogError, kinds, readCatalog } from "../catalog";
import { filterOf, readConditions, writeConditions, type Condition } from "../conditions";
import { Failure } from "../Failure";
import { gridKeys } from "../grid";
import { awaited } from "../load";
import { items as itemsText } from "../numbers";
import { Picture } from "../pictures";
import { Filters } from "../search/Filters";
import { SmallFold } from "../SmallFold";
import { ItemDialog } from "./ItemDialog";
import { Missing } from "./Missing";
import { Upload } from "./Upload";

const PAGE = 60;

function show(conditions: readonly Condition[], open = ""): void {
  const params = new URLSearchParams();
  writeConditions(conditions, params);
  if (open !== "") params.set("open", open);
  go("catalogue", params);
}

export function CataloguePage() {
  const { params } = address.value;
  const conditions = readConditions(params);
  const key = JSON.stringify(conditions);
  const open = params.get("open") ?? "";
  const [round, setRound] = useState(0);
  const listed = useListed(conditions, `${key} ${round} ${kinds.value.size}`);
  const changed = () => {
    setRound(round + 1);
    void readCatalog();
  };
  return (
    <div class="search">
      <div class="side">
        <Upload changed={changed} />
        <Missing />
        <SmallFold title="Filters">
          <Filters key={key === "[]" ? "none" : "some"} conditions={conditions} set={(next) => show(next)} />
        </SmallFold>
      </div>
      <section class="results" aria-label="Items" aria-busy={listed.busy}>
        <div class="bar top">
          <p class="quiet summary" role="status">
            {listed.total === undefined ? "" : `${itemsText(listed.total)}${conditions.length > 0 ? " pass" : ""}`}
          </p>
          {conditions.length > 0 && <button onClick={() => show([])}>Without filters</button>}
        </div>
        <Failure error={listed.error ?? catalogError.value} retry={changed} />
        {listed.total === 0n && conditions.length === 0 && (
          <p class="empty">The catalogue is empty. Drop photos on the left, or run <code>lapel items import FOLDER</code>.</p>
        )}
        <ul class="grid" onKeyDown={gridKeys}>
          {listed.items.map((item) => (
            <ItemCard key={item.id} item={item} look={() => show(conditions, item.id)} />
          ))}
        </ul>
        {listed.more && (
          <button class="more" disabled={listed.busy} onClick={listed.next}>
            More items
          </button>
        )}
      </section>
      {open !== "" && <ItemDialog key={open} id={open} close={() => show(conditions)} changed={changed} />}
    </div>
  );
}

function ItemCard({ item, look }: { item: Item; look: () => void }) {
  const heads = catalog.value?.stats.heads ?? [];
  const missing = heads.filter(({ head }) => !item.heads.includes(head)).length;
  return (
    <li class="card" data-item={item.id}>
      <button class="look" aria-label={`${item.id}: labels and fields`} onClick={look}>
        <Picture id={item.id} alt="" />
      </button>
      <div class="caption">
        <span class="id">{item.id}</span>
        {item.images > 1 && <span class="quiet">{item.images} pictures</span>}
      </div>
      <p class="facts quiet">{Object.values(item.labels).join(", ") || "no labels"}</p>
      {missing > 0 && <p class="facts warn">{missing} heads have no signature of it</p>}
    </li>
  );
}

interface Listed {
  readonly items: readonly Item[];
  readonly token: string;
  readonly total?: bigint;
  readonly error?: LapelError;
  readonly busy: boolean;
}

/** Pages of items, one after the other. */
function useListed(conditions: readonly Condition[], key: string) {
  const [shown, setShown] = useState<Listed>({ items: [], token: "", busy: true });
  // Ends with the key: a page of what was listed before comes too late.
  const ending = useRef(new AbortController());
  const filter = filterOf(conditions, kinds.value);
  const read = async (before: readonly Item[], pageToken: string) => {
    const { signal } = ending.current;
    setShown((now) => ({ ...now, busy: true }));
    try {
      const [page, counted] = await awaited(
        Promise.all([
          lapel.catalog.listItems({ pageSize: PAGE, pageToken, filter }, { signal }),
          lapel.catalog.countItems({ filter }, { signal }),
        ]),
      );
      if (!signal.aborted) setShown({ items: [...before, ...page.items], token: page.nextPageToken, total: counted.items, busy: false });
    } catch (cause) {
      const error = failure(cause);
      if (!signal.aborted) setShown((now) => ({ ...now, error, busy: false }));
    }
  };
  useEffect(() => {
    ending.current = new AbortController();
    void read([], "");
    return () => ending.current.abort();
  }, [key]);
  return { ...shown, more: shown.token !== "", next: () => void read(shown.items, shown.token) };
}
