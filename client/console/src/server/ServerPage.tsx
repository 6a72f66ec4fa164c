// The server: what it holds and does, how far its heads reach, and how fast it answers this browser.
import { FieldKind, type FieldCoverage, type HeadCoverage } from "@lapel/client/v1";
import { readStats } from "../catalog";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { Meter } from "../Meter";
import { count, percent } from "../numbers";
import { Row, Table, number } from "../Table";
import { Figure } from "./Figure";
import { Timings } from "./Timings";
import { Traffic } from "./Traffic";

export function ServerPage() {
  const { data, error, busy, reload } = useLoaded("server", readStats);
  return (
    <div class="page">
      <header class="bar">
        <h2>Server</h2>
        <button onClick={reload}>Read again</button>
      </header>
      <Failure error={error} retry={reload} />
      {!data && busy && <p class="empty">Loading…</p>}
      {data && (
        <>
          <dl class="figures">
            <Figure name="items" value={count(data.items)} />
            <Figure name="heads in service" value={count(data.heads.length)} />
            <Figure name="generation" value={`${data.generation}`} />
            <Figure name="photos with features kept" value={count(data.cachedFeatures)} />
            <Figure name="damaged items" value={count(data.damagedItems.length)} bad={data.damagedItems.length > 0} />
            <Figure name="lost records" value={count(data.lostRecords)} bad={data.lostRecords > 0n} />
          </dl>
          <section aria-labelledby="traffic">
            <h3 id="traffic">What it does</h3>
            <Traffic />
          </section>
          <div class="beside">
            <section aria-labelledby="coverage">
              <h3 id="coverage">What heads have signatures of</h3>
              <Coverage heads={data.heads} />
            </section>
            <section aria-labelledby="fields">
              <h3 id="fields">Fields</h3>
              <FieldTable fields={data.fields} />
            </section>
            <section aria-labelledby="timings">
              <h3 id="timings">Answers to this browser</h3>
              <Timings />
            </section>
          </div>
        </>
      )}
    </div>
  );
}

const COVERAGE = ["head", number("items"), number("missing"), "share"];

function Coverage({ heads }: { heads: readonly HeadCoverage[] }) {
  return (
    <Table class="coverage" columns={COVERAGE}>
      {heads.map(({ head, signatures, missing }) => {
        const share = Number(signatures) / Math.max(1, Number(signatures + missing));
        const lacking = <span class={missing > 0n ? "warn" : undefined}>{count(missing)}</span>;
        return <Row key={head} columns={COVERAGE} cells={[head, count(signatures), lacking, <Meter share={share} title={percent(share)} />]} />;
      })}
    </Table>
  );
}

const FIELDS = ["field", "kind", number("items"), "declared"];

function FieldTable({ fields }: { fields: readonly FieldCoverage[] }) {
  if (fields.length === 0) return <p class="quiet">No item has one.</p>;
  return (
    <Table columns={FIELDS}>
      {fields.map(({ field, kind, items, declared }) => (
        <Row key={field} columns={FIELDS} cells={[field, FieldKind[kind].toLowerCase(), count(items), declared ? "yes" : ""]} />
      ))}
    </Table>
  );
}
