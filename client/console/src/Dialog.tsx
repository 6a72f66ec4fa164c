// A modal dialog: the browser's own, which keeps the focus and closes on Escape.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Dialog(props: { title: string; close: () => void; children: ComponentChildren; wide?: boolean }) {
  const place = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    place.current?.showModal();
  }, []);
  return (
    <dialog ref={place} class={props.wide ? "wide" : ""} aria-label={props.title} onClose={props.close}>
      <header class="bar">
        <h2>{props.title}</h2>
        <button class="plain" aria-label="Close" onClick={() => place.current?.close()}>
          ✕
        </button>
      </header>
      {props.children}
    </dialog>
  );
}
