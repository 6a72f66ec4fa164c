// What the server does at present for all its callers: calls a second, how fast, memory. Read again while somebody looks.
import { useEffect, useState } from "preact/hooks";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code } from "@lapel/client";
import type { MethodStats, ServerStatsResponse } from "@lapel/client/v1";
import { lapel } from "../api";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { count, milliseconds } from "../numbers";
import { Row, Scrolled, Table, number } from "../Table";
import { Figure } from "./Figure";

const EVERY_MS = 5000;

export function Traffic() {
  const [round, setRound] = useState(0);
  useEffect(() => {
    const next = () => setRound((before) => before + (document.hidden ? 0 : 1));
    const timer = setInterval(next, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const { data, error } = useLoaded(`traffic ${round}`, (signal) => lapel.admin.serverStats({}, { signal }));
  if (error?.code === Code.PermissionDenied) return <p class="quiet">A token with the role “admin” sees what the server does.</p>;
  return (
    <>
      <Failure error={error} />
      {data && <Present stats={data} />}
    </>
  );
}

const SEARCH = "lapel.v1.SearchService/Search";
const COLUMNS = ["method", number("calls"), number("a second"), number("median"), number("p99"), "failed"];

function Present({ stats }: { stats: ServerStatsResponse }) {
  const { methods, windowSeconds } = stats;
  const searches = methods.find(({ method }) => method === SEARCH);
  const waiting = Object.values(stats.picturesWaiting).reduce((all, some) => all + some, 0n);
  return (
    <>
      <dl class="figures">
        <Figure name="searches a second" value={rate(searches, windowSeconds)} />
        <Figure name="p99 of a search" value={searches ? milliseconds(searches.p99Ms) : "–"} />
        <Figure name="in flight" value={count(stats.inFlight)} />
        <Figure name="pictures that wait" value={count(waiting)} />
        <Figure name="memory" value={`${count(Math.round(Number(stats.residentBytes) / 2 ** 20))} MiB`} />
        <Figure name="health" value={stats.healthy ? "healthy" : "not healthy"} bad={!stats.healthy} />
      </dl>
      <Scrolled name="Calls by method">
        <Table columns={COLUMNS} caption={`Calls of the last ${Math.round(windowSeconds)} seconds`}>
          {methods.map((of) => {
            const failed = Object.entries(of.failures).map(([code, calls]) => `${calls} ${code}`);
            const cells = [of.method.replace("lapel.v1.", ""), count(of.calls), rate(of, windowSeconds), milliseconds(of.p50Ms), milliseconds(of.p99Ms), failed.join(", ")];
            return <Row key={of.method} columns={COLUMNS} cells={cells} />;
          })}
        </Table>
      </Scrolled>
      <p class="quiet">
        Version {stats.version}
        {stats.started && `, started ${timestampDate(stats.started).toLocaleString()}`}
      </p>
    </>
  );
}

function rate(of: MethodStats | undefined, seconds: number): string {
  return of ? (Number(of.calls) / Math.max(1, seconds)).toFixed(1) : "0";
}
