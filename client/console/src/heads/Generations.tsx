// Backbones with their heads: the one that serves, and one that is built or stands by.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { HeadState, type Generation } from "@lapel/client/v1";
import { lapel } from "../api";
import { Failure } from "../Failure";
import { useAction, type Action } from "../load";
import { Row, Scrolled, Table, number, unnamed } from "../Table";
import { State, useFollowed } from "./progress";

const COLUMNS = ["backbone", "state", number("heads"), "built", unnamed("actions")];

export function Generations({ generations, changed }: { generations: readonly Generation[]; changed: () => void }) {
  const action = useAction(changed);
  return (
    <Scrolled name="Generations">
      <Failure error={action.error} />
      <Table columns={COLUMNS}>
        {generations.map((generation) => (
          <GenerationRow key={generation.backbone} generation={generation} action={action} changed={changed} />
        ))}
      </Table>
    </Scrolled>
  );
}

function GenerationRow(props: { generation: Generation; action: Action; changed: () => void }) {
  const { busy, act } = props.action;
  const generation = useFollowed(props.generation, (signal) => watched(props.generation.backbone, signal), props.changed);
  const { backbone, state, heads, buildTime } = generation;
  const drop = () =>
    confirm("Drop this generation with its heads and signatures?") && act(() => lapel.generations.dropGeneration({ backbone }));
  const actions = (
    <span class="actions">
      {state === HeadState.STANDBY && (
        <button disabled={busy} onClick={() => act(() => lapel.generations.switchGeneration({ backbone }))}>
          Switch to it
        </button>
      )}
      {state !== HeadState.ACTIVE && (
        <button class="plain" disabled={busy} onClick={drop}>
          Drop
        </button>
      )}
    </span>
  );
  const built = buildTime ? timestampDate(buildTime).toLocaleString() : "";
  return <Row columns={COLUMNS} cells={[<code>{backbone}</code>, <State of={generation} />, heads.length, built, actions]} />;
}

async function* watched(backbone: string, signal: AbortSignal): AsyncGenerator<Generation | undefined> {
  for await (const { generation } of lapel.generations.watchGeneration({ backbone }, { signal })) yield generation;
}
