// Heads, their versions, and the backbones below them.
import { useState } from "preact/hooks";
import { HeadState } from "@lapel/client/v1";
import { lapel } from "../api";
import { readCatalog } from "../catalog";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { Generations } from "./Generations";
import { Register } from "./Register";
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
