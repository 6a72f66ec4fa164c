// Before anything is searched for: items to begin with.
import { lapel } from "../api";
import { catalog, catalogError, kinds, readCatalog } from "../catalog";
import { filterOf } from "../conditions";
import { Failure } from "../Failure";
import { gridKeys } from "../grid";
import { useLoaded } from "../load";
import { items } from "../numbers";
import { Picture } from "../pictures";
import { link } from "../address";
import { begin, change, judge, search } from "./state";

const SHOWN = 60;

export function Start() {
  const { conditions } = search.value;
  const filter = filterOf(conditions, kinds.value);
  const total = catalog.value?.stats.items;
  const key = JSON.stringify([conditions, total === undefined ? 0 : Number(total)]);
  const { data, error, busy } = useLoaded(key, (signal) => lapel.catalog.listItems({ pageSize: SHOWN, filter }, { signal }));
  if (catalogError.value) return <Failure error={catalogError.value} retry={() => void readCatalog()} />;
  if (total === 0n) {
    return (
      <section class="empty" aria-label="Results">
        <p>The catalogue is empty.</p>
        <p>
          <a href={link("catalogue")}>Drop photos on the catalogue</a>, or run <code>lapel items import FOLDER</code>.
        </p>
      </section>
    );
  }
  return (
    <section class="results" aria-label="Items to begin with">
      <p class="lead">
        Drop a photo, or begin with one of {total === undefined ? "the" : ""} {total === undefined ? "items" : items(total)}.
      </p>
      <Failure error={error} />
      {!data && busy && <p class="empty">Loading…</p>}
      <ul class="grid" onKeyDown={gridKeys}>
        {data?.items.map(({ id }) => (
          <li key={id} class="card" data-item={id}>
            <button class="look" aria-label={`search like ${id}`} onClick={() => change(begin(`item:${id}`))}>
              <Picture id={id} alt="" />
            </button>
            <div class="caption">
              <span class="id">{id}</span>
            </div>
            <div class="actions">
              <button onClick={() => judge(id, "liked")} aria-label={`Like ${id}`}>
                Like
              </button>
            </div>
          </li>
        ))}
      </ul>
      {data && data.nextPageToken !== "" && (
        <p>
          <a href={link("catalogue")}>All of them</a>
        </p>
      )}
    </section>
  );
}
