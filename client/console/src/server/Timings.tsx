// What this browser waited for the server, by call; with some searches made for it.
import { useState } from "preact/hooks";
import { lapel, serverUrl, timings, type Timing } from "../api";
import { Failure } from "../Failure";
import { useAction } from "../load";
import { count, milliseconds } from "../numbers";
import { Row, Table, number } from "../Table";

// Searches of "Measure": enough for a p99 that means something.
const MEASURED = 200;
const MEASURED_AS = "Search, measured";
const COLUMNS = ["call", number("calls"), number("median"), number("p99")];

export function Timings() {
  const [rate, setRate] = useState<number>();
  const { error, busy, act } = useAction();
  const measure = async () => {
    const { items } = await lapel.catalog.listItems({ pageSize: 1 });
    const id = items[0]?.id;
    if (id === undefined) return;
    const request = { query: { source: { case: "itemId" as const, value: id } }, k: 40 };
    const found: Timing[] = [];
    const start = performance.now();
    for (let done = 0; done < MEASURED; done++) {
      const begun = performance.now();
      await lapel.search.search(request);
      found.push({ what: MEASURED_AS, ms: performance.now() - begun });
    }
    setRate((1000 * MEASURED) / (performance.now() - start));
    timings.value = [...timings.value.filter(({ what }) => what !== MEASURED_AS), ...found];
  };
  const byCall = new Map<string, number[]>();
  for (const { what, ms } of timings.value) byCall.set(what, [...(byCall.get(what) ?? []), ms]);
  return (
    <>
      {byCall.size > 0 && (
        <Table columns={COLUMNS}>
          {[...byCall].map(([what, all]) => {
            const [median, p99] = [quantile(all, 0.5), quantile(all, 0.99)].map(milliseconds);
            return <Row key={what} columns={COLUMNS} cells={[what, all.length, median, p99]} />;
          })}
        </Table>
      )}
      <div class="inline">
        <button disabled={busy} onClick={() => act(measure)}>
          {busy ? "Measuring…" : `Measure ${MEASURED} searches, one after the other`}
        </button>
        {rate !== undefined && <span role="status">{count(Math.round(rate))} a second</span>}
      </div>
      <Failure error={error} />
      <p class="quiet">
        Round trips of this page alone, {serverUrl.startsWith("https") ? "with TLS" : "in the clear"}. For Prometheus there is{" "}
        <code>/metrics</code> of <code>operation.probes</code>.
      </p>
    </>
  );
}

function quantile(all: readonly number[], share: number): number {
  const ordered = [...all].sort((a, b) => a - b);
  return ordered[Math.min(ordered.length - 1, Math.floor(share * ordered.length))] ?? 0;
}
