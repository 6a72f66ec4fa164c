// What is wrong with the catalogue: signatures that are missing, damaged records, labels that no head knows.
import { catalog } from "../catalog";
import { count, items } from "../numbers";

export function Missing() {
  const stats = catalog.value?.stats;
  if (!stats) return null;
  const gaps = stats.heads.filter(({ missing }) => missing > 0n);
  const { damagedItems, lostRecords, unknownLabels } = stats;
  if (gaps.length === 0 && damagedItems.length === 0 && lostRecords === 0n && unknownLabels.length === 0) return null;
  return (
    <details class="section" open={damagedItems.length > 0 || lostRecords > 0n}>
      <summary>What is missing</summary>
      {damagedItems.length > 0 && (
        <p class="bad">
          Damaged on disk, to be written again: {damagedItems.join(", ")}
        </p>
      )}
      {lostRecords > 0n && <p class="bad">{count(lostRecords)} records are on damaged pages.</p>}
      <ul class="plain-list">
        {gaps.map(({ head, missing }) => (
          <li key={head}>
            {items(missing)} without a signature of {head}
          </li>
        ))}
        {unknownLabels.map(({ attribute, head, labels, labelsTotal }) => (
          <li key={attribute}>
            {attribute}: {labels.map(({ label, items: number }) => `${label} (${count(number)})`).join(", ")}
            {labelsTotal > labels.length ? ", …" : ""}, which {head} does not know
          </li>
        ))}
      </ul>
    </details>
  );
}
