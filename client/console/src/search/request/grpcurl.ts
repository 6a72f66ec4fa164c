// The request as `grpcurl` takes it.
import { create, toJson, type JsonValue } from "@bufbuild/protobuf";
import { PersonaliseRequestSchema, SearchRequestSchema } from "@lapel/client/v1";
import { hasToken } from "../../api";
import { personaliseOf, searchOf } from "../ask";
import type { Request } from "./request";
import { word } from "./shell";
import { PHOTO, grpcUrl, itemOf } from "./subject";

// Names as in the proto files.
const NAMES = { useProtoFieldName: true };

export function grpcurlText({ state, weights }: Request): string {
  const picked = state.liked.length > 0;
  const json: JsonValue = picked
    ? toJson(PersonaliseRequestSchema, create(PersonaliseRequestSchema, { ...personaliseOf(state, undefined), showFields: [] }), NAMES)
    : toJson(SearchRequestSchema, create(SearchRequestSchema, { ...searchOf(state, undefined, weights), showFields: [] }), NAMES);
  const { host, protocol } = new URL(grpcUrl);
  const plain = protocol === "http:" ? " -plaintext" : "";
  const token = hasToken() ? ' -H "authorization: Bearer $LAPEL_TOKEN"' : "";
  const call = `${host} lapel.v1.${picked ? "FeedbackService/Personalise" : "SearchService/Search"}`;
  const body = (query: object) => JSON.stringify({ ...query, ...(json as object) }, null, 2);
  if (state.query.startsWith("photo:")) {
    // The photo is put in between two quoted texts.
    const text = word(body({ query: { image: "PHOTO" } })).replace('"PHOTO"', `"'"$(base64 -w0 ${PHOTO})"'"`);
    return `grpcurl${plain}${token} -d @ ${call} <<< ${text}`;
  }
  return `grpcurl${plain}${token} -d ${word(body(state.query === "" ? {} : { query: { item_id: itemOf(state.query) } }))} ${call}`;
}
