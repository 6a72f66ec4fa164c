// Heads, their versions, and the backbones below them.
import { useState } from "preact/hooks";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { HeadState, type Generation } from "@lapel/client/v1";
import type { LapelError } from "@lapel/client";
import { failure, lapel } from "../api";
import { readCatalog } from "../catalog";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { bytesOf } from "../photos";
import { Versions } from "./Versions";

export function HeadsPage() {
  const { data, error, busy, reload } = useLoaded("heads", async (signal) => {
    const [heads, generations] = await Promise.all([
      lapel.heads.listHeads({ pageSize: 1000 }, { signal }),
      lapel.generations.listGenerations({}, { signal }),
    ]);
    return { heads: heads.heads, generations: generations.generations, generation: generations.generation };
  });
  const changed = () => {
    reload();
    void readCatalog();
  };
  const [retired, setRetired] = useState(false);
  const heads = (data?.heads ?? []).filter(({ state }) => retired || state !== HeadState.RETIRED);
  return (
    <div class="page">
      <header class="bar">
        <h2>Heads</h2>
        <label class="field">
          <input type="checkbox" checked={retired} onChange={(event) => setRetired(event.currentTarget.checked)} />
          <span>with retired ones</span>
        </label>
        <button onClick={reload}>Read again</button>
      </header>
      <Failure error={error} retry={reload} />
      {!data && busy && <p class="empty">Loading…</p>}
      {data && <Versions heads={heads} changed={changed} />}
      <Register changed={changed} />
      {data && (
        <>
          <h2>Generations</h2>
          <p class="quiet">A backbone with its heads; answers name generation {`${data.generation}`} now.</p>
          <Generations generations={data.generations} changed={changed} />
        </>
      )}
    </div>
  );
}

/** A bundle that is dropped is registered. */
function Register({ changed }: { changed: () => void }) {
  const [update, setUpdate] = useState(false);
  const [hold, setHold] = useState(true);
  const [said, say] = useState("");
  const [failed, setFailed] = useState<LapelError>();
  const [over, setOver] = useState(false);
  const register = async (file: File | undefined) => {
    if (!file) return;
    setFailed(undefined);
    say(`Sending ${file.name}…`);
    try {
      const bundle = await bytesOf(file);
      const { head } = await lapel.heads.registerHeadFromBundle({ bundle, update, hold }, { timeoutMs: 300_000 });
      say(`${head?.name} version ${head?.version} is registered.`);
      changed();
    } catch (cause) {
      say("");
      setFailed(failure(cause));
    }
  };
  return (
    <section
      aria-label="Register a head"
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void register(event.dataTransfer?.files[0]);
      }}
    >
      <label class="button">
        Register a bundle
        <input type="file" class="hidden" accept=".safetensors" onChange={(event) => void register(event.currentTarget.files?.[0])} />
      </label>
      <span class="quiet"> or drop one here; larger ones than a message takes: lapel heads register</span>
      <label class="field">
        <input type="checkbox" checked={update} onChange={(event) => setUpdate(event.currentTarget.checked)} />
        <span>as the next version of its head</span>
      </label>
      <label class="field">
        <input type="checkbox" checked={hold} onChange={(event) => setHold(event.currentTarget.checked)} />
        <span>it waits to be promoted</span>
      </label>
      <p role="status">{said}</p>
      <Failure error={failed} />
    </section>
  );
}

function Generations({ generations, changed }: { generations: readonly Generation[]; changed: () => void }) {
  const [failed, setFailed] = useState<LapelError>();
  const act = (work: () => Promise<unknown>) => {
    setFailed(undefined);
    work().then(changed, (cause: unknown) => setFailed(failure(cause)));
  };
  return (
    <div class="scrolled">
      <Failure error={failed} />
      <table>
        <thead>
          <tr>
            <th scope="col">backbone</th>
            <th scope="col">state</th>
            <th scope="col" class="number">
              heads
            </th>
            <th scope="col">built</th>
            <th scope="col">
              <span class="hidden">actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {generations.map(({ backbone, state, heads, buildTime, failure: why }) => (
            <tr key={backbone}>
              <th scope="row">
                <code>{backbone}</code>
              </th>
              <td>
                <span class={`state ${HeadState[state].toLowerCase()}`}>{HeadState[state].toLowerCase()}</span> {why}
              </td>
              <td class="number">{heads.length}</td>
              <td class="quiet">{buildTime ? timestampDate(buildTime).toLocaleString() : ""}</td>
              <td class="actions">
                {state === HeadState.STANDBY && <button onClick={() => act(() => lapel.generations.switchGeneration({ backbone }))}>Switch to it</button>}
                {state !== HeadState.ACTIVE && (
                  <button class="plain" onClick={() => confirm("Drop this generation with its heads and signatures?") && act(() => lapel.generations.dropGeneration({ backbone }))}>
                    Drop
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
