// What the catalogue has: attributes with their labels, fields with their kinds. Read once, and anew when something changed.
import { computed, signal } from "@preact/signals";
import type { AttributeLabels, CatalogStatsResponse } from "@lapel/client/v1";
import type { LapelError } from "@lapel/client";
import { failure, lapel } from "./api";
import { awaited } from "./load";

export interface Catalog {
  readonly attributes: readonly AttributeLabels[];
  readonly stats: CatalogStatsResponse;
}

export const catalog = signal<Catalog | undefined>(undefined);
export const catalogError = signal<LapelError | undefined>(undefined);

/** Kinds of the fields that there are. */
export const kinds = computed(() => new Map(catalog.value?.stats.fields.map(({ field, kind }) => [field, kind])));

async function readLabels(): Promise<AttributeLabels[]> {
  const attributes: AttributeLabels[] = [];
  let pageToken = "";
  do {
    const page = await lapel.heads.listLabels({ pageToken });
    attributes.push(...page.attributes);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return attributes;
}

/** What is on every page or on the first alone, and the damaged items of all. */
export async function readStats(signal?: AbortSignal): Promise<CatalogStatsResponse> {
  const options = signal ? { signal } : {};
  const stats = await lapel.catalog.catalogStats({}, options);
  for (let pageToken = stats.nextPageToken; pageToken !== ""; ) {
    const page = await lapel.catalog.catalogStats({ pageToken }, options);
    stats.damagedItems.push(...page.damagedItems);
    pageToken = page.nextPageToken;
  }
  return stats;
}

/** Reads it. */
export async function readCatalog(): Promise<void> {
  try {
    const [attributes, stats] = await awaited(Promise.all([readLabels(), readStats()]));
    catalog.value = { attributes, stats };
    catalogError.value = undefined;
  } catch (cause) {
    catalogError.value = failure(cause);
  }
}
