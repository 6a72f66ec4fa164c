// Tables: named columns, rows that begin with what they are of.
import type { ComponentChildren } from "preact";

/** A column: its name, and how it is shown unless it is plain text. */
export type Column = string | { readonly name: string; readonly as: "number" | "hidden" };

/** A column of numbers. */
export function number(name: string): Column {
  return { name, as: "number" };
}

/** A column whose name is for screen readers alone. */
export function unnamed(name: string): Column {
  return { name, as: "hidden" };
}

interface TableProps {
  readonly columns: readonly Column[];
  readonly class?: string;
  readonly caption?: string;
  /** `Row`s. */
  readonly children: ComponentChildren;
}

export function Table({ columns, class: kind, caption, children }: TableProps) {
  return (
    <table class={kind}>
      {caption && <caption>{caption}</caption>}
      <thead>
        <tr>
          {columns.map((column) => {
            const { name, as } = typeof column === "string" ? { name: column, as: undefined } : column;
            return (
              <th key={name} scope="col" class={as === "number" ? "number" : undefined}>
                {as === "hidden" ? <span class="hidden">{name}</span> : name}
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

/** A table, or several, that may be wider than the page. */
export function Scrolled({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div class="scrolled" role="region" aria-label={name} tabIndex={0}>
      {children}
    </div>
  );
}

interface RowProps {
  readonly columns: readonly Column[];
  /** One a column; the first says what the row is of. */
  readonly cells: readonly ComponentChildren[];
  readonly class?: string;
}

export function Row({ columns, cells, class: kind }: RowProps) {
  return (
    <tr class={kind}>
      {cells.map((cell, at) => {
        const column = columns[at];
        const isNumber = typeof column === "object" && column.as === "number";
        return at === 0 ? (
          <th key={at} scope="row">
            {cell}
          </th>
        ) : (
          <td key={at} class={isNumber ? "number" : undefined}>
            {cell}
          </td>
        );
      })}
    </tr>
  );
}
