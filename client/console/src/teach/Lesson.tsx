// What the examples are worth, teaching from them, and which version serves.
import { useEffect, useState } from "preact/hooks";
import { HeadState, TeachStep, type Head, type HeadWorth, type TaughtHead, type TeachProgress } from "@lapel/client/v1";
import type { LapelError } from "@lapel/client";
import { failure, lapel } from "../api";
import { readCatalog } from "../catalog";
import { Failure } from "../Failure";
import { useAction } from "../load";
import { Versions } from "../heads/Versions";
import { Curve, type Point } from "./Curve";
import { Worth } from "./Worth";
import { countsOf, examples, labelMany, labels, name } from "./state";

// How many more examples it takes to try again by itself.
const EVERY = 8;

export function Lesson({ versions, reload }: { versions: readonly Head[]; reload: () => void }) {
  const given = examples.value;
  const counts = countsOf(given);
  const ready = [...counts.values()].filter((number) => number >= 2).length >= 2;
  const [points, setPoints] = useState<readonly Point[]>([]);
  const [worth, setWorth] = useState<HeadWorth>();
  const [taught, setTaught] = useState<TaughtHead>();
  const [progress, setProgress] = useState<TeachProgress>();
  const [failed, setFailed] = useState<LapelError>();
  // The server teaches one head at a time, and says nothing until it has begun.
  const [running, setRunning] = useState(false);
  const teach = async (dryRun: boolean) => {
    const number = given.size;
    setRunning(true);
    try {
      setFailed(undefined);
      for await (const { event } of lapel.heads.teach(teachRequest(dryRun, versions.length > 0))) {
        if (event.case === "progress") setProgress(event.value);
        if (event.case !== "taught") continue;
        const { worth: found } = event.value;
        if (found) {
          setWorth(found);
          setPoints((before) => [...before.filter((point) => point.examples !== number), pointOf(number, found)]);
        }
        if (!dryRun) setTaught(event.value);
      }
      if (!dryRun) reload();
    } catch (cause) {
      setFailed(failure(cause));
    } finally {
      setProgress(undefined);
      setRunning(false);
    }
  };
  const tried = points.at(-1)?.examples ?? 0;
  useEffect(() => {
    if (ready && !running && failed === undefined && given.size >= tried + EVERY) void teach(true);
  }, [given.size]);
  return (
    <>
      <table class="counts">
        <tbody>
          {labels.value.map((known) => (
            <tr key={known}>
              <th scope="row">{known}</th>
              <td class="number">{counts.get(known) ?? 0}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet">
        {given.size} examples, kept in this tab. {ready ? "" : "Two of at least two labels each make a beginning."}
      </p>
      <div class="inline">
        <button disabled={!ready || running} onClick={() => void teach(true)}>
          What are they worth?
        </button>
        <button class="main" disabled={!ready || running} onClick={() => void teach(false)}>
          Teach
        </button>
      </div>
      <div class="inline">
        <StoredLabels />
        <Store />
      </div>
      {progress && <Progress progress={progress} />}
      <Failure error={failed} />
      <Curve points={points} />
      {worth && <Worth worth={worth} />}
      {taught && waits(taught, versions) && (
        <p class="note" role="status">
          Version {taught.head?.version} is taught{taught.heldBecause ? `, and waits: ${taught.heldBecause}` : " and waits for you to promote it"}.
        </p>
      )}
      {versions.length > 0 && (
        <Versions
          heads={versions}
          changed={() => {
            reload();
            void readCatalog();
          }}
        />
      )}
    </>
  );
}

/** Whether what was taught is still to be promoted. */
function waits(taught: TaughtHead, versions: readonly Head[]): boolean {
  const version = versions.find((head) => head.version === taught.head?.version);
  return version?.state !== HeadState.ACTIVE && version?.state !== HeadState.RETIRED;
}

function teachRequest(dryRun: boolean, update: boolean) {
  const list = [...examples.peek()].map(([id, label]) => ({ label, of: { case: "itemId" as const, value: id } }));
  return {
    name: name.peek(),
    source: { case: "examples" as const, value: { examples: list } },
    labels: [...labels.peek()].filter((known) => [...examples.peek().values()].includes(known)),
    update,
    // It serves once somebody has looked at what it is worth.
    hold: !dryRun,
    dryRun,
  };
}

function pointOf(number: number, { accuracy, majority }: HeadWorth): Point {
  return { examples: number, accuracy: accuracy?.value ?? 0, low: accuracy?.low ?? 0, high: accuracy?.high ?? 0, majority };
}

function Progress({ progress }: { progress: TeachProgress }) {
  const words = {
    [TeachStep.UNSPECIFIED]: "Beginning",
    [TeachStep.LOOKING]: "Looking at the examples",
    [TeachStep.FITTING]: "Fitting, and examining on examples that it did not see",
    [TeachStep.REGISTERING]: "Storing",
  };
  const { step, examplesDone, examplesTotal } = progress;
  return (
    <label class="stack">
      <span role="status">{words[step]}…</span>
      <progress max={Number(examplesTotal) || 1} value={step === TeachStep.LOOKING ? Number(examplesDone) : undefined} />
    </label>
  );
}

/** Begins with the labels of this attribute that items carry already. */
function StoredLabels() {
  const { error, busy, act } = useAction();
  const [said, say] = useState("");
  const read = async () => {
    const filter = { node: { case: "label" as const, value: { attribute: name.peek(), exists: true, allowUnknown: true } } };
    let token = "";
    let number = 0;
    do {
      const page = await lapel.catalog.listItems({ pageSize: 1000, pageToken: token, filter });
      const found = page.items.flatMap(({ id, labels: carried }) => {
        const as = carried[name.peek()];
        return as !== undefined && labels.peek().includes(as) ? [[id, as] as const] : [];
      });
      labelMany(found);
      number += found.length;
      token = page.nextPageToken;
    } while (token !== "");
    say(number === 0 ? "no item carries one" : `${number} read`);
  };
  return (
    <>
      <button class="plain" disabled={busy} onClick={() => act(read)}>
        Read stored labels
      </button>
      <span class="quiet" role="status">
        {said}
      </span>
      <Failure error={error} />
    </>
  );
}

/** Writes the labels to the items, so that searches and others find them. */
function Store() {
  const [done, setDone] = useState<number>();
  const { error, busy, act } = useAction(() => void readCatalog());
  const write = async () => {
    const path = `labels.${name.peek()}`;
    let stored = 0;
    for (const [id, label] of examples.peek()) {
      await lapel.catalog.upsertItem({ item: { id, labels: { [name.peek()]: label }, updateMask: { paths: [path] } } });
      setDone(++stored);
    }
  };
  return (
    <>
      <button class="plain" disabled={busy || examples.value.size === 0} onClick={() => act(write)}>
        Store labels with the items
      </button>
      {done !== undefined && (
        <span class="quiet" role="status">
          {done} stored
        </span>
      )}
      <Failure error={error} />
    </>
  );
}
