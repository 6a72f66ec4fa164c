// One item: its pictures, its labels to edit, its fields.
import { useState } from "preact/hooks";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Item } from "@lapel/client/v1";
import type { LapelError } from "@lapel/client";
import { link } from "../address";
import { failure, lapel } from "../api";
import { catalog } from "../catalog";
import { Dialog } from "../Dialog";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { percent } from "../numbers";
import { Picture, forgetPictures } from "../pictures";
import { valueText } from "../values";

export function ItemDialog({ id, close, changed }: { id: string; close: () => void; changed: () => void }) {
  const { data, error, reload } = useLoaded(id, (signal) => lapel.catalog.getItem({ id }, { signal }));
  const [failed, setFailed] = useState<LapelError>();
  const item = data?.item;
  const remove = async () => {
    try {
      await lapel.catalog.deleteItems({ ids: [id] });
      forgetPictures(id);
      changed();
      close();
    } catch (cause) {
      setFailed(failure(cause));
    }
  };
  return (
    <Dialog title={id} close={close} wide>
      <Failure error={failed ?? error} retry={reload} />
      {item && (
        <div class="item">
          <div>
            {Array.from({ length: item.images }, (_, picture) => (
              <Picture key={picture} id={id} picture={picture} alt={`picture ${picture + 1} of ${id}`} />
            ))}
            {item.images === 0 && <p class="quiet">No picture is stored.</p>}
          </div>
          <div>
            <Labels
              item={item}
              saved={() => {
                reload();
                changed();
              }}
            />
            <Fields item={item} />
            <p class="quiet">
              {item.updateTime ? `written ${timestampDate(item.updateTime).toLocaleString()}; ` : ""}
              signatures of {item.heads.length} heads
            </p>
            <div class="inline">
              <a class="button" href={link("search", new URLSearchParams({ q: `item:${id}` }))}>
                Search like this
              </a>
              <button class="plain bad" onClick={() => confirm(`Delete ${id}?`) && void remove()}>
                Delete
              </button>
            </div>
          </div>
        </div>
      )}
    </Dialog>
  );
}

/** A row an attribute: the stored label, and what its head sees. */
function Labels({ item, saved }: { item: Item; saved: () => void }) {
  const { data, busy } = useLoaded(`seen ${item.id}`, (signal) =>
    item.hasImage ? lapel.search.describe({ source: { case: "itemId", value: item.id } }, { signal }) : Promise.resolve(undefined),
  );
  const [failed, setFailed] = useState<LapelError>();
  const known = catalog.value?.attributes ?? [];
  const names = [...new Set([...known.map(({ attribute }) => attribute), ...Object.keys(item.labels)])].sort();
  const write = async (attribute: string, label: string) => {
    const labels: Record<string, string> = label === "" ? {} : { [attribute]: label };
    try {
      await lapel.catalog.upsertItem({ item: { id: item.id, labels, updateMask: { paths: [`labels.${attribute}`] } } });
      setFailed(undefined);
      saved();
    } catch (cause) {
      setFailed(failure(cause));
    }
  };
  return (
    <>
      <Failure error={failed} />
      <table class="labels-table">
        <thead>
          <tr>
            <th scope="col">attribute</th>
            <th scope="col">stored label</th>
            <th scope="col">seen</th>
          </tr>
        </thead>
        <tbody>
          {names.map((attribute) => {
            const labels = known.find((other) => other.attribute === attribute)?.labels.map(({ label }) => label) ?? [];
            const stored = item.labels[attribute] ?? "";
            const predicted = data?.attributes.find((other) => other.attribute === attribute);
            const best = predicted?.labels[0];
            return (
              <tr key={attribute}>
                <th scope="row">{attribute.replaceAll("_", " ")}</th>
                <td>
                  <select value={stored} aria-label={`stored label of ${attribute}`} onChange={(event) => void write(attribute, event.currentTarget.value)}>
                    <option value="">none stored</option>
                    {[...new Set(stored === "" ? labels : [stored, ...labels])].map((label) => (
                      <option key={label} value={label}>
                        {label}
                      </option>
                    ))}
                  </select>
                </td>
                <td class={best && stored !== "" && best.label !== stored ? "warn" : "quiet"}>
                  {best ? `${best.label} ${percent(best.probability)}${predicted?.unsure ? ", unsure" : ""}` : busy ? "…" : ""}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </>
  );
}

function Fields({ item }: { item: Item }) {
  const fields = Object.entries(item.fields).sort(([a], [b]) => a.localeCompare(b));
  if (fields.length === 0) return null;
  return (
    <dl class="fields">
      {fields.map(([name, value]) => (
        <div key={name}>
          <dt>{name.replaceAll("_", " ")}</dt>
          <dd>{valueText(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
