// One item beside the query: why it is where it is, or why it is not among the results.
import { useEffect, useRef } from "preact/hooks";
import { AttributeOutcome, type AttributeMatch, type SearchResult, type Term } from "@lapel/client/v1";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { Picture } from "../pictures";
import { valueText } from "../values";
import { percentWidth } from "./Weights";
import { answer } from "./model";
import { begin, change, judge, search } from "./state";
import { placeOf, type Place } from "./place";

export function Detail() {
  const { open } = search.value;
  return open === "" ? null : <Looked open={open} />;
}

/** Back to the card that was looked at, or to where the reader is. */
function close(): void {
  const { open } = search.value;
  change({ open: "" });
  document.querySelector<HTMLElement>(`[data-item="${CSS.escape(open)}"] .look`)?.focus();
}

function Looked({ open }: { open: string }) {
  const place = useRef<HTMLElement>(null);
  useEffect(() => place.current?.focus({ preventScroll: true }), [open]);
  const result = answer.value?.ranked.find((ranked) => ranked.result.itemId === open)?.result;
  return (
    <aside
      class="detail"
      ref={place}
      tabIndex={-1}
      aria-label={`About ${open}`}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <header class="bar">
        <h2>{open}</h2>
        <button class="plain" aria-label="Close" onClick={close}>
          ✕
        </button>
      </header>
      <Picture id={open} picture={result?.picture ?? 0} />
      <div class="inline">
        <button aria-pressed={search.value.liked.includes(open)} onClick={() => judge(open, "liked")}>
          Like
        </button>
        <button aria-pressed={search.value.disliked.includes(open)} onClick={() => judge(open, "disliked")}>
          Dislike
        </button>
        <button onClick={() => change(begin(`item:${open}`))}>More like this</button>
      </div>
      {result ? <Explained result={result} /> : <Absent id={open} />}
    </aside>
  );
}

function Explained({ result }: { result: SearchResult }) {
  return (
    <>
      <Terms result={result} />
      <Matches matches={result.explanation?.attributes ?? []} />
      <Fields result={result} />
    </>
  );
}

/** The bar of terms: the whole is the distance. */
function Terms({ result }: { result: SearchResult }) {
  const terms = byContribution(result.explanation?.terms ?? []);
  const most = Math.max(...terms.map(({ contribution }) => contribution), 1e-9);
  return (
    <>
      <h3>Distance {result.distance.toFixed(4)}</h3>
      <table class="terms">
        <thead>
          <tr>
            <th scope="col">head</th>
            <th scope="col" class="number">
              weight
            </th>
            <th scope="col" class="number">
              apart
            </th>
            <th scope="col" class="number">
              term
            </th>
            <th scope="col">
              <span class="hidden">share</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {terms.map((term) => (
            <tr key={term.head}>
              <th scope="row" title={`looks at: ${term.region}`}>
                {term.head.replaceAll("_", " ")}
              </th>
              <td class="number">{term.weight.toFixed(2)}</td>
              <td class="number" title={term.missing ? "the item has no signature of it: the distance expected" : undefined}>
                {term.missing && "~"}
                {term.distance.toFixed(3)}
              </td>
              <td class="number">{term.contribution.toFixed(3)}</td>
              <td>
                <span class="meter">
                  <span style={{ width: percentWidth(term.contribution / most) }} />
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function byContribution(terms: readonly Term[]): Term[] {
  return [...terms].sort((a, b) => b.contribution - a.contribution);
}

/** Labels changed as asked, kept, and different. */
function Matches({ matches }: { matches: readonly AttributeMatch[] }) {
  const groups: [string, string, AttributeMatch[]][] = [
    ["Changed as asked", "good", matches.filter((match) => match.outcome === AttributeOutcome.CHANGED)],
    ["Asked for and not there", "bad", matches.filter((match) => match.edited && match.outcome !== AttributeOutcome.CHANGED)],
    ["Kept", "good", matches.filter((match) => match.outcome === AttributeOutcome.KEPT)],
    ["Different", "", matches.filter((match) => !match.edited && match.outcome === AttributeOutcome.DIFFERS)],
    ["Not known", "quiet", matches.filter((match) => !match.edited && match.outcome === AttributeOutcome.UNKNOWN && match.found !== "")],
  ];
  return (
    <dl class="matches">
      {groups
        .filter(([, , found]) => found.length > 0)
        .map(([title, tone, found]) => (
          <div key={title}>
            <dt class={tone}>{title}</dt>
            <dd>
              <ul>
                {found.map((match) => (
                  <li key={match.attribute}>
                    <span class="quiet">{match.attribute.replaceAll("_", " ")}</span> {match.found || "not known"}
                    {match.predicted && <span class="quiet"> {match.unsure ? "(a guess)" : "(predicted)"}</span>}
                    {match.wanted !== "" && match.found !== match.wanted && <span class="quiet"> for {match.wanted}</span>}
                  </li>
                ))}
              </ul>
            </dd>
          </div>
        ))}
    </dl>
  );
}

function Fields({ result }: { result: SearchResult }) {
  const fields = Object.entries(result.fields);
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

/** Why an item is not among the results. */
function Absent({ id }: { id: string }) {
  const state = search.value;
  const shown = answer.value;
  const last = shown?.ranked.at(-1)?.result;
  const key = JSON.stringify([id, { ...state, open: "" }, shown !== undefined]);
  const { data, error, busy } = useLoaded(key, async (signal) => (shown && !shown.picks ? await placeOf(id, state, signal) : undefined));
  if (!shown) return <p class="quiet">Nothing is searched for: choose a photo or an item first.</p>;
  if (shown.picks) return <p class="quiet">Distances of items that are not shown are told for searches without picks.</p>;
  return (
    <>
      <Failure error={error} />
      {!data && busy && <p class="quiet">Looking for it…</p>}
      {data && <Reason place={data} last={last} results={shown.ranked.length} />}
      {data?.result && last && <Compared mine={data.result} last={last} />}
      {data?.result && <Matches matches={data.result.explanation?.attributes ?? []} />}
    </>
  );
}

function Reason({ place, last, results }: { place: Place; last: SearchResult | undefined; results: number }) {
  if (!place.result) {
    return <p>Its distance is not to be had: too many items have exactly its labels and fields.</p>;
  }
  const { distance } = place.result;
  return (
    <p>
      {!place.passes && <strong>It does not pass the filters. </strong>}
      It is {distance.toFixed(4)} away
      {last && distance > last.distance ? `, and the last of the ${results} results ${last.distance.toFixed(4)}` : ""}
      {place.rank === undefined ? "; more than a thousand items are nearer." : place.passes ? `: number ${place.rank} of those that pass.` : "."}
    </p>
  );
}

function signed(difference: number): string {
  const text = Math.abs(difference).toFixed(3);
  return `${Number(text) === 0 ? "" : difference < 0 ? "−" : "+"}${text}`;
}

/** An item's terms beside those of the last result: where the difference comes from. */
function Compared({ mine, last }: { mine: SearchResult; last: SearchResult }) {
  const theirs = new Map(last.explanation?.terms.map((term) => [term.head, term.contribution]));
  const rows = (mine.explanation?.terms ?? [])
    .map(({ head, contribution }) => ({ head, contribution, more: contribution - (theirs.get(head) ?? 0) }))
    .sort((a, b) => b.more - a.more);
  const most = Math.max(...rows.map(({ more }) => Math.abs(more)), 1e-9);
  return (
    <table class="terms">
      <thead>
        <tr>
          <th scope="col">head</th>
          <th scope="col" class="number">
            this one
          </th>
          <th scope="col" class="number">
            last result
          </th>
          <th scope="col" class="number">
            more
          </th>
          <th scope="col">
            <span class="hidden">share</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ head, contribution, more }) => (
          <tr key={head}>
            <th scope="row">{head.replaceAll("_", " ")}</th>
            <td class="number">{contribution.toFixed(3)}</td>
            <td class="number">{(contribution - more).toFixed(3)}</td>
            <td class="number">{signed(more)}</td>
            <td>
              <span class={more > 0 ? "meter against" : "meter"}>
                <span style={{ width: percentWidth(Math.abs(more) / most) }} />
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
