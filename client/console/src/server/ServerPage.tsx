// The server: what it holds, how far its heads reach, and how fast it answers this browser.
import { useState } from "preact/hooks";
import { FieldKind } from "@lapel/client/v1";
import { lapel, serverUrl, timings, type Timing } from "../api";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { count, milliseconds, percent } from "../numbers";
import { percentWidth } from "../search/Weights";

export function ServerPage() {
  const { data, error, reload } = useLoaded("server", (signal) => lapel.catalog.catalogStats({}, { signal }));
  return (
    <div class="page">
      <header class="bar">
        <h2>Server</h2>
        <button onClick={reload}>Read again</button>
      </header>
      <Failure error={error} retry={reload} />
      {data && (
        <>
          <dl class="figures">
            <Figure name="items" value={count(data.items)} />
            <Figure name="heads in service" value={count(data.heads.length)} />
            <Figure name="generation" value={`${data.generation}`} />
            <Figure name="photos with features kept" value={count(data.cachedFeatures)} />
            <Figure name="damaged items" value={count(data.damagedItems.length)} />
          </dl>
          <h3>Answers to this browser</h3>
          <Timings />
          <h3>What heads have signatures of</h3>
          <table class="coverage">
            <thead>
              <tr>
                <th scope="col">head</th>
                <th scope="col" class="number">
                  items
                </th>
                <th scope="col" class="number">
                  missing
                </th>
                <th scope="col">share</th>
              </tr>
            </thead>
            <tbody>
              {data.heads.map(({ head, signatures, missing }) => {
                const share = Number(signatures) / Math.max(1, Number(signatures + missing));
                return (
                  <tr key={head}>
                    <th scope="row">{head}</th>
                    <td class="number">{count(signatures)}</td>
                    <td class="number">{count(missing)}</td>
                    <td>
                      <span class="meter" title={percent(share)}>
                        <span style={{ width: percentWidth(share) }} />
                      </span>
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
          <h3>Fields</h3>
          <table>
            <thead>
              <tr>
                <th scope="col">field</th>
                <th scope="col">kind</th>
                <th scope="col" class="number">
                  items
                </th>
                <th scope="col">declared</th>
              </tr>
            </thead>
            <tbody>
              {data.fields.map(({ field, kind, items, declared }) => (
                <tr key={field}>
                  <th scope="row">{field}</th>
                  <td>{FieldKind[kind].toLowerCase()}</td>
                  <td class="number">{count(items)}</td>
                  <td>{declared ? "yes" : ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </div>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

// Searches of "Measure": enough for a p99 that means something.
const MEASURED = 200;

/** What this browser waited, by call; with some searches made for it. */
function Timings() {
  const [busy, setBusy] = useState(false);
  const [rate, setRate] = useState<number>();
  const measure = async () => {
    setBusy(true);
    try {
      const { items } = await lapel.catalog.listItems({ pageSize: 1 });
      const id = items[0]?.id;
      if (id === undefined) return;
      const start = performance.now();
      const found: Timing[] = [];
      for (let done = 0; done < MEASURED; done++) {
        const begun = performance.now();
        await lapel.search.search({ query: { source: { case: "itemId", value: id } }, k: 40 });
        found.push({ what: "Search, measured", ms: performance.now() - begun });
      }
      setRate((1000 * MEASURED) / (performance.now() - start));
      timings.value = [...timings.value.filter(({ what }) => what !== "Search, measured"), ...found];
    } finally {
      setBusy(false);
    }
  };
  const byCall = new Map<string, number[]>();
  for (const { what, ms } of timings.value) byCall.set(what, [...(byCall.get(what) ?? []), ms]);
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">call</th>
            <th scope="col" class="number">
              calls
            </th>
            <th scope="col" class="number">
              median
            </th>
            <th scope="col" class="number">
              p99
            </th>
          </tr>
        </thead>
        <tbody>
          {[...byCall].map(([what, all]) => (
            <tr key={what}>
              <th scope="row">{what}</th>
              <td class="number">{all.length}</td>
              <td class="number">{milliseconds(quantile(all, 0.5))}</td>
              <td class="number">{milliseconds(quantile(all, 0.99))}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <div class="inline">
        <button disabled={busy} onClick={() => void measure()}>
          {busy ? "Measuring…" : `Measure ${MEASURED} searches, one after the other`}
        </button>
        {rate !== undefined && <span>{count(Math.round(rate))} a second</span>}
      </div>
      <p class="quiet">
        Round trips as this page sees them, {serverUrl.startsWith("https") ? "with TLS" : "in the clear"}. The server's own
        figures for Prometheus are at <code>/metrics</code> of <code>operation.probes</code>.
      </p>
    </>
  );
}

function quantile(all: readonly number[], share: number): number {
  const ordered = [...all].sort((a, b) => a - b);
  return ordered[Math.min(ordered.length - 1, Math.floor(share * ordered.length))] ?? 0;
}
