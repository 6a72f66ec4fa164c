// What the catalogue has: attributes with their labels, fields with their kinds. Read once, and anew when something changed.
import { computed, signal } from "@preact/signals";
import type { AttributeLabels, CatalogStatsResponse } from "@lapel/client/v1";
import type { LapelError } from "@lapel/client";
import { failure, lapel } from "./api";

export interface Catalog {
  readonly attributes: readonly AttributeLabels[];
  readonly stats: CatalogStatsResponse;
}

export const catalog = signal<Catalog | undefined>(undefined);
export const catalogError = signal<LapelError | undefined>(undefined);

/** Kinds of the fields that there are. */
export const kinds = computed(() => new Map(catalog.value?.stats.fields.map(({ field, kind }) => [field, kind])));

/** Reads it. */
export async function readCatalog(): Promise<void> {
  try {
    const [labels, stats] = await Promise.all([lapel.heads.listLabels({}), lapel.catalog.catalogStats({})]);
    catalog.value = { attributes: labels.attributes, stats };
    catalogError.value = undefined;
  } catch (cause) {
    catalogError.value = failure(cause);
  }
}
