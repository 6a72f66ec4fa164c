// The request behind the screen, to copy.
import { useRef, useState } from "preact/hooks";
import { hasToken, serverUrl } from "../api";
import { Dialog } from "../Dialog";
import { answer } from "./model";
import { FORMS, requestText, type Form } from "./request/request";
import { PHOTO, grpcUrl } from "./request/subject";
import { search } from "./state";

export function RequestDialog({ close }: { close: () => void }) {
  const [form, setForm] = useState<Form>("lapel");
  const [copied, setCopied] = useState("");
  const shown = useRef<HTMLPreElement>(null);
  const text = requestText(form, { state: search.value, weights: answer.value?.asked });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied("Copied");
    } catch {
      // Browsers have no clipboard for pages that came in the clear.
      if (shown.current) getSelection()?.selectAllChildren(shown.current);
      setCopied("Selected: copy it");
    }
  };
  return (
    <Dialog title="This request" close={close} wide>
      <div class="tabs" role="group" aria-label="Written as">
        {FORMS.map((name) => (
          <button
            key={name}
            aria-pressed={name === form}
            onClick={() => {
              setForm(name);
              setCopied("");
            }}
          >
            {name}
          </button>
        ))}
        <button class="right" onClick={() => void copy()}>
          {copied || "Copy"}
        </button>
      </div>
      <pre class="code" tabIndex={0} ref={shown}>
        {text}
      </pre>
      {search.value.query.startsWith("photo:") && <p class="quiet">{PHOTO} stands for the file of your photo.</p>}
      {hasToken() && <p class="quiet">It reads your token from the variable LAPEL_TOKEN.</p>}
      {grpcUrl !== serverUrl && (
        <p class="quiet">gRPC has no base path: what passes the console on must pass gRPC on at {grpcUrl}, too.</p>
      )}
      <p class="quiet">The address of this page is the same search, too.</p>
    </Dialog>
  );
}
