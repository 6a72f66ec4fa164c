// A bundle that is dropped is registered.
import { useState } from "preact/hooks";
import { lapel } from "../api";
import { DropZone, FileButton } from "../DropZone";
import { Failure } from "../Failure";
import { useAction } from "../load";
import { bytesOf } from "../photos";

// A bundle of the largest size over a slow line.
const TIMEOUT_MS = 300_000;

export function Register({ changed }: { changed: () => void }) {
  const [update, setUpdate] = useState(false);
  const [hold, setHold] = useState(true);
  const [said, say] = useState("");
  const { error, busy, act } = useAction(changed);
  const take = (files: readonly File[]) => {
    const [file] = files;
    if (!file) return;
    say(`Sending ${file.name}…`);
    act(async () => {
      const request = { bundle: await bytesOf(file), update, hold };
      const { head } = await lapel.heads.registerHeadFromBundle(request, { timeoutMs: TIMEOUT_MS });
      say(`${head?.name} version ${head?.version} is registered.`);
    });
  };
  return (
    <DropZone name="Register a head" take={(given) => take([...given.files])}>
      <FileButton text="Register a bundle" accept=".safetensors" take={take} />
      <span class="quiet"> or drop one here; larger ones than a message takes: lapel heads register</span>
      <label class="field">
        <input type="checkbox" checked={update} onChange={(event) => setUpdate(event.currentTarget.checked)} />
        <span>as the next version of its head</span>
      </label>
      <label class="field">
        <input type="checkbox" checked={hold} onChange={(event) => setHold(event.currentTarget.checked)} />
        <span>it waits to be promoted</span>
      </label>
      <p role="status">{error && !busy ? "" : said}</p>
      <Failure error={error} />
    </DropZone>
  );
}
