// Saved weights.
import { useState } from "preact/hooks";
import { lapel } from "../api";
import { Failure } from "../Failure";
import { useAction, useLoaded } from "../load";
import { answer } from "./model";
import { change, search } from "./state";

export function Profiles() {
  const { profile, liked } = search.value;
  const { data, error, reload } = useLoaded("profiles", (signal) => lapel.feedback.listProfiles({ pageSize: 1000 }, { signal }));
  const action = useAction(reload);
  const [said, say] = useState("");
  const profiles = data?.profiles ?? [];
  const chosen = profiles.find(({ name }) => name === profile);
  const act = (work: () => Promise<string>) => action.act(async () => say(await work()));
  const save = async (name: string) => {
    // Without the factors of this query's edits: a search with the profile has edits of its own.
    const heads = answer.peek()?.weights ?? [];
    const weights = Object.fromEntries(heads.map((w) => [w.head, w.givenWeight ?? w.ownWeight]));
    const saved = await lapel.feedback.saveProfile({ name, weights, pickedIds: [...liked] });
    return `saved ${name}, version ${saved.profile?.version}`;
  };
  return (
    <details class="profiles" open={profile !== "" || liked.length > 1}>
      <summary>Profiles</summary>
      <label class="field">
        <span>Weigh by</span>
        <select value={profile} onChange={(event) => change({ profile: event.currentTarget.value, factors: {} })}>
          <option value="">each head's own weight</option>
          {profile !== "" && !chosen && <option value={profile}>{profile} (not found)</option>}
          {profiles.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {chosen && (
        <div class="inline">
          <button
            disabled={chosen.undoSteps === 0}
            onClick={() =>
              act(async () => {
                const undone = await lapel.feedback.undoProfile({ name: profile, version: chosen.version });
                return `back to version ${undone.profile?.version} of ${profile}`;
              })
            }
          >
            Undo last save
          </button>
          <button
            class="plain"
            onClick={() =>
              confirm(`Delete the profile ${profile} with all its versions?`) &&
              act(async () => {
                await lapel.feedback.deleteProfile({ name: profile });
                change({ profile: "" });
                return `deleted ${profile}`;
              })
            }
          >
            Delete
          </button>
        </div>
      )}
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          const name = new FormData(event.currentTarget).get("name");
          if (typeof name === "string") act(() => save(name.trim()));
        }}
      >
        <input name="name" required maxLength={64} aria-label="Name of the profile" placeholder="name" autocomplete="off" />
        <button>Save these weights</button>
      </form>
      <p class="quiet" role="status">
        {said}
      </p>
      <Failure error={action.error ?? error} />
    </details>
  );
}
