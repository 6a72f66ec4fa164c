// Values of fields as they are shown.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { FieldValue } from "@lapel/client/v1";

export function valueText(value: FieldValue | undefined): string {
  const kind = value?.kind;
  switch (kind?.case) {
    case undefined:
      return "";
    case "keywords":
      return kind.value.keywords.join(", ");
    case "timestamp":
      return timestampDate(kind.value).toISOString().replace("T00:00:00.000Z", "");
    case "boolean":
      return kind.value ? "yes" : "no";
    case "keyword":
    case "integer":
    case "number":
      return `${kind.value}`;
  }
}
