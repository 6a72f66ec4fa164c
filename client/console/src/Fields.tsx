// The fields of an item with their values.
import type { FieldValue } from "@lapel/client/v1";
import { valueText } from "./values";

export function Fields({ fields }: { fields: Readonly<Record<string, FieldValue>> }) {
  const ordered = Object.entries(fields).sort(([a], [b]) => a.localeCompare(b));
  if (ordered.length === 0) return null;
  return (
    <dl class="fields">
      {ordered.map(([name, value]) => (
        <div key={name}>
          <dt>{name.replaceAll("_", " ")}</dt>
          <dd>{valueText(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
