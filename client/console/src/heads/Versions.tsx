// Versions of heads with their states, and what can be done with each.
import { useEffect, useState } from "preact/hooks";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { HeadKind, HeadState, type CompareHeadsResponse, type Head } from "@lapel/client/v1";
import { Code, type LapelError } from "@lapel/client";
import { failure, lapel } from "../api";
import { Failure } from "../Failure";
import { count, percent } from "../numbers";

const GOING_ON = [HeadState.REGISTERING, HeadState.VALIDATING, HeadState.WARMING, HeadState.BACKFILLING, HeadState.DRAINING];

interface Props {
  readonly heads: readonly Head[];
  readonly changed: () => void;
}

export function Versions({ heads, changed }: Props) {
  const [failed, setFailed] = useState<LapelError>();
  const [compared, setCompared] = useState<CompareHeadsResponse>();
  const act = (work: () => Promise<unknown>) => {
    setFailed(undefined);
    work().then(changed, (cause: unknown) => setFailed(failure(cause)));
  };
  return (
    <div class="scrolled">
      <Failure error={failed} />
      <table class="versions">
        <thead>
          <tr>
            <th scope="col">head</th>
            <th scope="col" class="number">
              version
            </th>
            <th scope="col">state</th>
            <th scope="col">what it tells</th>
            <th scope="col">looks at</th>
            <th scope="col" class="number">
              weight
            </th>
            <th scope="col">registered</th>
            <th scope="col">
              <span class="hidden">actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {heads.map((head) => (
            <Row key={`${head.name} ${head.version}`} head={head} heads={heads} act={act} changed={changed} compare={setCompared} />
          ))}
        </tbody>
      </table>
      {compared && <Comparison answer={compared} />}
    </div>
  );
}

interface RowProps extends Props {
  readonly head: Head;
  readonly act: (work: () => Promise<unknown>) => void;
  readonly compare: (answer: CompareHeadsResponse) => void;
}

function Row({ head: listed, heads, act, changed, compare }: RowProps) {
  const head = useWatched(listed, changed);
  const { name, version, state } = head;
  const standing = heads.some((other) => other.name === name && other.state === HeadState.STANDBY);
  return (
    <tr>
      <th scope="row" title={head.description}>
        {name}
      </th>
      <td class="number">{version}</td>
      <td>
        <span class={`state ${HeadState[state].toLowerCase()}`}>{HeadState[state].toLowerCase()}</span>
        <Backfill head={head} />
        {head.failure && <p class="bad">{head.failure}</p>}
      </td>
      <td>{head.attributes.join(", ")}</td>
      <td>{head.kind === HeadKind.EXTERNAL ? "computed elsewhere" : `${head.region}${head.context ? " and the whole" : ""}`}</td>
      <td class="number" title={`times ${head.changedWeight} where it is edited`}>
        {head.weight.toFixed(2)}
      </td>
      <td class="quiet nowrap">{head.registerTime ? timestampDate(head.registerTime).toLocaleString() : ""}</td>
      <td class="actions">
        {state === HeadState.STANDBY && (
          <>
            <button onClick={() => act(() => lapel.heads.promoteHead({ name, version }))}>Promote</button>
            <button onClick={() => act(async () => compare(await lapel.heads.compareHeads({ name, version })))}>Compare</button>
          </>
        )}
        {state === HeadState.ACTIVE && standing && version > 1 && (
          <button onClick={() => act(() => lapel.heads.rollbackHead({ name }))}>Roll back</button>
        )}
        {GOING_ON.includes(state) && <button onClick={() => act(() => lapel.heads.cancelHead({ name }))}>Cancel</button>}
        {!GOING_ON.includes(state) && (
          <button class="plain" onClick={() => confirm(`Retire version ${version} of ${name}? Its signatures are deleted.`) && act(() => lapel.heads.retireHead({ name, version }))}>
            Retire
          </button>
        )}
      </td>
    </tr>
  );
}

/** The head as it is now, followed while something goes on. */
function useWatched(listed: Head, changed: () => void): Head {
  const [head, setHead] = useState(listed);
  const { name, version, state } = listed;
  useEffect(() => {
    setHead(listed);
    if (!GOING_ON.includes(state)) return;
    const ending = new AbortController();
    const watch = async () => {
      const answers = lapel.heads.watchHead({ name, version }, { signal: ending.signal });
      for await (const { head: now } of answers) if (now) setHead(now);
      changed();
    };
    watch().catch((cause: unknown) => {
      if (failure(cause).code !== Code.Canceled) changed();
    });
    return () => ending.abort();
  }, [listed]);
  return head;
}

function Backfill({ head }: { head: Head }) {
  const { backfill, state } = head;
  if (!backfill || !GOING_ON.includes(state)) return null;
  const { itemsDone, itemsTotal, itemsPerSecond, secondsLeft } = backfill;
  return (
    <label class="backfill">
      <progress max={Number(itemsTotal) || 1} value={Number(itemsDone)} />
      <small>
        {count(itemsDone)} of {count(itemsTotal)}, {itemsPerSecond.toFixed(0)} a second
        {secondsLeft === undefined ? "" : `, ${Math.ceil(secondsLeft)} s left`}
      </small>
    </label>
  );
}

function Comparison({ answer }: { answer: CompareHeadsResponse }) {
  return (
    <table class="compared">
      <caption>On items that carry a label</caption>
      <thead>
        <tr>
          <th scope="col">attribute</th>
          <th scope="col" class="number">
            the one on standby
          </th>
          <th scope="col" class="number">
            the one that serves
          </th>
          <th scope="col" class="number">
            gained
          </th>
          <th scope="col" class="number">
            lost
          </th>
        </tr>
      </thead>
      <tbody>
        {answer.attributes.map(({ attribute, worth, otherWorth, gained, lost }) => (
          <tr key={attribute}>
            <th scope="row">{attribute}</th>
            <td class="number">{percent(worth?.accuracy?.value ?? 0)}</td>
            <td class="number">{percent(otherWorth?.accuracy?.value ?? 0)}</td>
            <td class="number">{count(gained)}</td>
            <td class="number">{count(lost)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
