// A place that files or items are dropped on, and the button that picks files in its stead.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

interface ZoneProps {
  readonly name: string;
  readonly class?: string;
  readonly take: (given: DataTransfer) => void;
  readonly children: ComponentChildren;
}

/** A named part of the page that takes what is dropped on it. */
export function DropZone({ name, class: kind = "drop", take, children }: ZoneProps) {
  const [over, setOver] = useState(false);
  return (
    <section
      aria-label={name}
      class={over ? `${kind} over` : kind}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        // Not where it goes on to what is inside.
        const inside = event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget);
        if (!inside) setOver(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        if (event.dataTransfer) take(event.dataTransfer);
      }}
    >
      {children}
    </section>
  );
}

interface ButtonProps {
  readonly text: string;
  /** File name extensions or MIME types, with commas between. */
  readonly accept: string;
  readonly multiple?: boolean;
  readonly take: (files: readonly File[]) => void;
}

export function FileButton({ text, accept, multiple, take }: ButtonProps) {
  return (
    <label class="button">
      {text}
      <input
        type="file"
        class="hidden"
        accept={accept}
        multiple={multiple}
        onChange={(event) => {
          const input = event.currentTarget;
          take([...(input.files ?? [])]);
          // The same file, chosen again, is a change, too.
          input.value = "";
        }}
      />
    </label>
  );
}
