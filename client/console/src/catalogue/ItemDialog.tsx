// One item: its pictures, its labels to edit, its fields.
import { useState } from "preact/hooks";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Item, PredictedAttribute } from "@lapel/client/v1";
import { link } from "../address";
import { lapel } from "../api";
import { catalog } from "../catalog";
import { Dialog } from "../Dialog";
import { Failure } from "../Failure";
import { Fields } from "../Fields";
import { useAction, useLoaded } from "../load";
import { percent } from "../numbers";
import { Picture, forgetPictures } from "../pictures";
import { Row, Table } from "../Table";

export function ItemDialog({ id, close, changed }: { id: string; close: () => void; changed: () => void }) {
  const { data, error, busy, reload } = useLoaded(id, (signal) => lapel.catalog.getItem({ id }, { signal }));
  const removal = useAction(() => {
    forgetPictures(id);
    changed();
    close();
  });
  const item = data?.item;
  const remove = () => confirm(`Delete ${id}?`) && removal.act(() => lapel.catalog.deleteItems({ ids: [id] }));
  return (
    <Dialog title={id} close={close} wide>
      <Failure error={error} retry={reload} />
      <Failure error={removal.error} />
      {!item && busy && <p class="empty">Loading…</p>}
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
            <Fields fields={item.fields} />
            <p class="quiet">
              {item.updateTime ? `written ${timestampDate(item.updateTime).toLocaleString()}; ` : ""}
              signatures of {item.heads.length} heads
            </p>
            <div class="inline">
              <a class="button" href={link("search", new URLSearchParams({ q: `item:${id}` }))}>
                Search like this
              </a>
              <button class="plain bad" disabled={removal.busy} onClick={remove}>
                Delete
              </button>
            </div>
          </div>
        </div>
      )}
    </Dialog>
  );
}

const COLUMNS = ["attribute", "stored label", "seen"];

/** A row an attribute: the stored label, and what its head sees. */
function Labels({ item, saved }: { item: Item; saved: () => void }) {
  const { data, busy } = useLoaded(`seen ${item.id}`, (signal) =>
    item.hasImage ? lapel.search.describe({ source: { case: "itemId", value: item.id } }, { signal }) : Promise.resolve(undefined),
  );
  const { error, act } = useAction(saved);
  const [last, setLast] = useState<{ attribute: string; before: string; label: string }>();
  const known = catalog.value?.attributes ?? [];
  const names = [...new Set([...known.map(({ attribute }) => attribute), ...Object.keys(item.labels)])].sort();
  const write = (attribute: string, label: string) => {
    const before = item.labels[attribute] ?? "";
    const labels: Record<string, string> = label === "" ? {} : { [attribute]: label };
    const updateMask = { paths: [`labels.${attribute}`] };
    act(async () => {
      await lapel.catalog.upsertItem({ item: { id: item.id, labels, updateMask } });
      setLast({ attribute, before, label });
    });
  };
  return (
    <>
      <Failure error={error} />
      <Table class="labels-table" columns={COLUMNS}>
        {names.map((attribute) => {
          const labels = known.find((other) => other.attribute === attribute)?.labels.map(({ label }) => label) ?? [];
          const stored = item.labels[attribute] ?? "";
          const choice = <Choice attribute={attribute} stored={stored} labels={labels} write={write} />;
          const predicted = data?.attributes.find((other) => other.attribute === attribute);
          const sight = <Sight predicted={predicted} stored={stored} busy={busy} />;
          return <Row key={attribute} columns={COLUMNS} cells={[attribute.replaceAll("_", " "), choice, sight]} />;
        })}
      </Table>
      <p class="said" role="status">
        {last && (
          <>
            {last.attribute.replaceAll("_", " ")}: {last.label || "none"} in place of {last.before || "none"}{" "}
            <button class="plain" onClick={() => write(last.attribute, last.before)}>
              Undo
            </button>
          </>
        )}
      </p>
    </>
  );
}

interface ChoiceProps {
  readonly attribute: string;
  readonly stored: string;
  readonly labels: readonly string[];
  readonly write: (attribute: string, label: string) => void;
}

function Choice({ attribute, stored, labels, write }: ChoiceProps) {
  return (
    <select value={stored} aria-label={`stored label of ${attribute}`} onChange={(event) => write(attribute, event.currentTarget.value)}>
      <option value="">none stored</option>
      {[...new Set(stored === "" ? labels : [stored, ...labels])].map((label) => (
        <option key={label} value={label}>
          {label}
        </option>
      ))}
    </select>
  );
}

/** What its head sees; where that is another label than the stored one, it stands out. */
function Sight({ predicted, stored, busy }: { predicted: PredictedAttribute | undefined; stored: string; busy: boolean }) {
  const best = predicted?.labels[0];
  if (!best) return <span class="quiet">{busy ? "…" : ""}</span>;
  const tone = stored !== "" && best.label !== stored ? "warn" : "quiet";
  return <span class={tone}>{`${best.label} ${percent(best.probability)}${predicted.unsure ? ", unsure" : ""}`}</span>;
}
