// Arrow keys in a grid of cards.

/** Moves the focus to the card beside, above or below; on the grid's `onKeyDown`. */
export function arrowKeys(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
  const target = event.target;
  if (!(target instanceof HTMLElement) || target.matches("input, select, textarea")) return;
  const cards = [...event.currentTarget.children];
  const at = cards.findIndex((card) => card.contains(target));
  const first = cards[0];
  if (at < 0 || !first) return;
  const columns = cards.findIndex((card) => card.getBoundingClientRect().top > first.getBoundingClientRect().top);
  const row = columns < 0 ? cards.length : columns;
  const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
  const next = cards[at + (steps[event.key] ?? 0)];
  if (!(event.key in steps) || !next) return;
  event.preventDefault();
  next.querySelector<HTMLElement>("button, [tabindex]")?.focus();
}
