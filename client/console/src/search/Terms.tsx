// The bar of terms: the whole is the distance.
import type { SearchResult } from "@lapel/client/v1";
import { Meter } from "../Meter";
import { Row, Table, number, unnamed } from "../Table";

const COLUMNS = ["head", number("weight"), number("apart"), number("term"), unnamed("share")];

export function Terms({ result }: { result: SearchResult }) {
  const terms = [...(result.explanation?.terms ?? [])].sort((a, b) => b.contribution - a.contribution);
  const most = Math.max(...terms.map(({ contribution }) => contribution), 1e-9);
  return (
    <>
      <h3>Distance {result.distance.toFixed(4)}</h3>
      <Table class="terms" columns={COLUMNS}>
        {terms.map(({ head, region, weight, distance, contribution, missing }) => {
          const expected = missing ? "the item has no signature of it: the distance expected" : undefined;
          const cells = [
            <span title={`looks at: ${region}`}>{head.replaceAll("_", " ")}</span>,
            weight.toFixed(2),
            <span title={expected}>{`${missing ? "~" : ""}${distance.toFixed(3)}`}</span>,
            contribution.toFixed(3),
            <Meter share={contribution / most} />,
          ];
          return <Row key={head} columns={COLUMNS} cells={cells} />;
        })}
      </Table>
    </>
  );
}

const COMPARED = ["head", number("this one"), number("last result"), number("more"), unnamed("share")];

/** An item's terms beside those of the last result: where the difference comes from. */
export function ComparedTerms({ mine, last }: { mine: SearchResult; last: SearchResult }) {
  const theirs = new Map(last.explanation?.terms.map((term) => [term.head, term.contribution]));
  const rows = (mine.explanation?.terms ?? [])
    .map(({ head, contribution }) => ({ head, contribution, more: contribution - (theirs.get(head) ?? 0) }))
    .sort((a, b) => b.more - a.more);
  const most = Math.max(...rows.map(({ more }) => Math.abs(more)), 1e-9);
  return (
    <Table class="terms" columns={COMPARED}>
      {rows.map(({ head, contribution, more }) => {
        const values = [contribution.toFixed(3), (contribution - more).toFixed(3), signed(more)];
        const share = <Meter share={Math.abs(more) / most} against={more > 0} />;
        return <Row key={head} columns={COMPARED} cells={[head.replaceAll("_", " "), ...values, share]} />;
      })}
    </Table>
  );
}

function signed(difference: number): string {
  const text = Math.abs(difference).toFixed(3);
  return `${Number(text) === 0 ? "" : difference < 0 ? "−" : "+"}${text}`;
}
