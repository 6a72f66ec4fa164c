// Versions of heads with their states, and what can be done with each.
import { useState } from "preact/hooks";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { HeadKind, HeadState, type CompareHeadsResponse, type Head } from "@lapel/client/v1";
import { lapel } from "../api";
import { Failure } from "../Failure";
import { useAction, type Action } from "../load";
import { count, percent } from "../numbers";
import { Row, Scrolled, Table, number, unnamed } from "../Table";
import { State, goesOn, useFollowed } from "./progress";

const COLUMNS = [
  "head",
  number("version"),
  "state",
  "what it tells",
  "looks at",
  number("weight"),
  "registered",
  unnamed("actions"),
];

interface Props {
  readonly heads: readonly Head[];
  readonly changed: () => void;
}

export function Versions({ heads, changed }: Props) {
  const action = useAction(changed);
  const [compared, setCompared] = useState<CompareHeadsResponse>();
  return (
    <Scrolled name="Versions of heads">
      <Failure error={action.error} />
      <Table class="versions" columns={COLUMNS}>
        {heads.map((head) => (
          <VersionRow
            key={`${head.name} ${head.version}`}
            head={head}
            heads={heads}
            action={action}
            changed={changed}
            compare={setCompared}
          />
        ))}
      </Table>
      {compared && <Comparison answer={compared} />}
    </Scrolled>
  );
}

interface RowProps extends Props {
  readonly head: Head;
  readonly action: Action;
  readonly compare: (answer: CompareHeadsResponse) => void;
}

function VersionRow({ head: listed, heads, action, changed, compare }: RowProps) {
  const head = useFollowed(listed, (signal) => watched(listed, signal), changed);
  const external = head.kind === HeadKind.EXTERNAL;
  const cells = [
    <span title={head.description}>{head.name}</span>,
    head.version,
    <State of={head} />,
    head.attributes.join(", "),
    external ? "computed elsewhere" : `${head.region}${head.context ? " and the whole" : ""}`,
    <span title={`times ${head.changedWeight} where it is edited`}>{head.weight.toFixed(2)}</span>,
    <span class="quiet nowrap">{head.registerTime ? timestampDate(head.registerTime).toLocaleString() : ""}</span>,
    <Actions head={head} heads={heads} action={action} compare={compare} />,
  ];
  return <Row columns={COLUMNS} cells={cells} />;
}

async function* watched({ name, version }: Head, signal: AbortSignal): AsyncGenerator<Head | undefined> {
  for await (const { head } of lapel.heads.watchHead({ name, version }, { signal })) yield head;
}

function Actions({ head, heads, action, compare }: Omit<RowProps, "changed">) {
  const { name, version, state } = head;
  const { busy, act } = action;
  const standing = heads.some((other) => other.name === name && other.state === HeadState.STANDBY);
  // One that serves is retired once none stands by.
  const retires = !goesOn(state) && state !== HeadState.RETIRED && !(state === HeadState.ACTIVE && standing);
  const retire = () =>
    confirm(`Retire version ${version} of ${name}? Its signatures are deleted.`) &&
    act(() => lapel.heads.retireHead({ name, version }));
  return (
    <span class="actions">
      {state === HeadState.STANDBY && (
        <>
          <button disabled={busy} onClick={() => act(() => lapel.heads.promoteHead({ name, version }))}>
            Promote
          </button>
          <button disabled={busy} onClick={() => act(async () => compare(await lapel.heads.compareHeads({ name, version })))}>
            Compare
          </button>
        </>
      )}
      {state === HeadState.ACTIVE && standing && version > 1 && (
        <button disabled={busy} onClick={() => act(() => lapel.heads.rollbackHead({ name }))}>
          Roll back
        </button>
      )}
      {goesOn(state) && (
        <button disabled={busy} onClick={() => act(() => lapel.heads.cancelHead({ name }))}>
          Cancel
        </button>
      )}
      {retires && (
        <button class="plain" disabled={busy} onClick={retire}>
          Retire
        </button>
      )}
    </span>
  );
}

const COMPARED = ["attribute", number("the one on standby"), number("the one that serves"), number("gained"), number("lost")];

function Comparison({ answer }: { answer: CompareHeadsResponse }) {
  return (
    <Table class="compared" caption="On items that carry a label" columns={COMPARED}>
      {answer.attributes.map(({ attribute, worth, otherWorth, gained, lost }) => {
        const accuracies = [worth, otherWorth].map((of) => percent(of?.accuracy?.value ?? 0));
        return <Row key={attribute} columns={COMPARED} cells={[attribute, ...accuracies, count(gained), count(lost)]} />;
      })}
    </Table>
  );
}
