// A share as a bar.

/** `share` of 1; `against`: it speaks against what it is of. */
export function Meter({ share, against = false, title }: { share: number; against?: boolean; title?: string }) {
  const width = `${Math.max(0, Math.min(100, 100 * share)).toFixed(1)}%`;
  return (
    <span class={against ? "meter against" : "meter"} title={title}>
      <span style={{ width }} />
    </span>
  );
}
