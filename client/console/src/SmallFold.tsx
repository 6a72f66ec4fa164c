// What is beside the grid; on a small screen above it, and closed until somebody looks.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

export function SmallFold({ title, children }: { title: string; children: ComponentChildren }) {
  const [open, setOpen] = useState(() => matchMedia("(min-width: 761px)").matches);
  return (
    <details class="small-fold" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {open && children}
    </details>
  );
}
