// Teaching an attribute: label pictures by keyboard, see what they are worth, put it in service.
import { HeadState } from "@lapel/client/v1";
import { lapel } from "../api";
import { go } from "../address";
import { Failure } from "../Failure";
import { useLoaded } from "../load";
import { Lesson } from "./Lesson";
import { Sheet } from "./Sheet";
import { begin, labels, name } from "./state";

export function TeachPage() {
  const { data, error, reload } = useLoaded(name.value, (signal) => lapel.heads.listHeads({ pageSize: 1000 }, { signal }));
  if (name.value === "" || labels.value.length < 2) return <Beginning />;
  const versions = (data?.heads ?? []).filter((head) => head.name === name.value && head.state !== HeadState.RETIRED);
  return (
    <div class="teach">
      <div class="side">
        <header class="bar">
          <h2>{name.value}</h2>
          <button class="plain" onClick={() => go("teach", new URLSearchParams())}>
            Another attribute
          </button>
        </header>
        <Failure error={error} />
        <Lesson key={name.value} versions={versions} reload={reload} />
      </div>
      <Sheet key={name.value} taught={versions.some(({ state }) => state === HeadState.ACTIVE || state === HeadState.STANDBY)} />
    </div>
  );
}

function Beginning() {
  return (
    <form
      class="stack narrow"
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        const text = (field: string) => {
          const value = form.get(field);
          return typeof value === "string" ? value : "";
        };
        const given = text("labels").split(/[,\n]/).map((label) => label.trim());
        begin(text("name").trim(), [...new Set(given.filter((label) => label !== ""))]);
      }}
    >
      <h2>Teach an attribute</h2>
      <p>
        Label some pictures; the server learns from them while it serves, says what it has learnt is worth on pictures that it
        did not learn from, and you decide whether it serves.
      </p>
      <label for="name">Name of the attribute</label>
      <input id="name" name="name" required pattern="[a-z][a-z0-9_]*" title="small letters, digits and _" defaultValue={name.value} placeholder="layer" autocomplete="off" />
      <label for="labels">Its labels, two to nine, with commas between</label>
      <input id="labels" name="labels" required defaultValue={labels.value.join(", ")} placeholder="over, top, bottom, whole" autocomplete="off" />
      <button>Begin labelling</button>
    </form>
  );
}
