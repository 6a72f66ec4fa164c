// Keys in a grid of cards: arrows move, and a card's buttons have letters.

/** Moves the focus to the card beside, above or below, or presses the button of a letter; on the grid's `onKeyDown`. */
export function gridKeys(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
  const target = event.target;
  if (!(target instanceof HTMLElement) || target.matches("input, select, textarea")) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const cards = [...event.currentTarget.children];
  const at = cards.findIndex((card) => card.contains(target));
  const first = cards[0];
  if (at < 0 || !first) return;
  const lettered = /^[a-z]$/.test(event.key) ? cards[at]?.querySelector<HTMLElement>(`[aria-keyshortcuts="${event.key}"]`) : null;
  if (lettered) return lettered.click();
  const columns = cards.findIndex((card) => card.getBoundingClientRect().top > first.getBoundingClientRect().top);
  const row = columns < 0 ? cards.length : columns;
  const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
  const next = cards[at + (steps[event.key] ?? 0)];
  if (!(event.key in steps) || !next) return;
  event.preventDefault();
  next.querySelector<HTMLElement>("button, [tabindex]")?.focus();
}
