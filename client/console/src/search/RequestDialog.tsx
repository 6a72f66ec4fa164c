// The request behind the screen, to copy.
import { useState } from "preact/hooks";
import { Dialog } from "../Dialog";
import { answer } from "./model";
import { FORMS, requestText } from "./request";
import { search } from "./state";

export function RequestDialog({ close }: { close: () => void }) {
  const [form, setForm] = useState<(typeof FORMS)[number]>("lapel");
  const [copied, setCopied] = useState(false);
  const moved = Object.values(search.value.factors).some((factor) => factor !== 1);
  const weights = moved ? Object.fromEntries((answer.value?.weights ?? []).map(({ head, weight }) => [head, weight])) : undefined;
  const text = requestText(form, search.value, weights);
  return (
    <Dialog title="This request" close={close} wide>
      <div class="tabs" role="group" aria-label="Written as">
        {FORMS.map((name) => (
          <button
            key={name}
            aria-pressed={name === form}
            onClick={() => {
              setForm(name);
              setCopied(false);
            }}
          >
            {name}
          </button>
        ))}
        <button class="right" onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}>
          {copied ? "Copied" : "Copy"}
        </button>
      </div>
      <pre class="code" tabIndex={0}>
        {text}
      </pre>
      {search.value.query.startsWith("photo:") && <p class="quiet">photo.jpg stands for the file of your photo.</p>}
      <p class="quiet">The address of this page is the same search, too.</p>
    </Dialog>
  );
}
