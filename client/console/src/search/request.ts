// What is on the screen as a command and as programs, to copy.
import { create, toJson, type JsonValue } from "@bufbuild/protobuf";
import { SearchRequestSchema, PersonaliseRequestSchema } from "@lapel/client/v1";
import { serverUrl } from "../api";
import { kinds } from "../catalog";
import { whereText } from "../conditions";
import { personaliseOf, searchOf } from "./ask";
import type { SearchState } from "./state";

/** Languages and tools. */
export const FORMS = ["lapel", "Python", "TypeScript", "grpcurl"] as const;
export type Form = (typeof FORMS)[number];

const PHOTO = "photo.jpg";

/** The request of a state; `weights` are those in use, where they were moved. */
export function requestText(form: Form, state: SearchState, weights: Record<string, number> | undefined): string {
  switch (form) {
    case "lapel":
      return state.liked.length > 0 ? pickCommand(state) : searchCommand(state, weights);
    case "Python":
      return pythonText(state, weights);
    case "TypeScript":
      return typescriptText(state, weights);
    case "grpcurl":
      return grpcurlText(state, weights);
  }
}

function searchCommand(state: SearchState, weights: Record<string, number> | undefined): string {
  const parts = [`lapel --server ${serverUrl} search ${subject(state)}`];
  parts.push(...Object.entries(state.edits).map(([attribute, label]) => `--set ${word(`${attribute}=${label}`)}`));
  for (const [head, weight] of Object.entries(weights ?? {})) parts.push(`--weight ${head}=${short(weight)}`);
  if (!weights && state.profile !== "") parts.push(`--profile ${word(state.profile)}`);
  parts.push(...common(state));
  if (state.group !== "") parts.push(`--group-by ${word(state.group)}`);
  else if (state.relevance < 1) parts.push(`--diverse ${state.relevance}`);
  return parts.join(" \\\n  ");
}

function pickCommand(state: SearchState): string {
  const parts = [`lapel --server ${serverUrl} pick ${state.liked.map(word).join(" ")}`];
  parts.push(...state.disliked.map((id) => `--unwanted ${word(id)}`));
  if (state.query !== "") parts.push(`--query ${subject(state)}`);
  parts.push(...Object.entries(state.edits).map(([attribute, label]) => `--set ${word(`${attribute}=${label}`)}`));
  if (state.profile !== "") parts.push(`--profile ${word(state.profile)}`);
  parts.push(...common(state));
  return parts.join(" \\\n  ");
}

function common(state: SearchState): string[] {
  const where = whereText(state.conditions, kinds.value);
  return [...(where === "" ? [] : [`--where ${word(where)}`]), `-k ${state.k}`, "--explain"];
}

function subject(state: SearchState): string {
  return state.query.startsWith("item:") ? word(state.query) : PHOTO;
}

/** The request's JSON, without the photo's bytes or signatures: `query` is written by each form. */
function requestJson(state: SearchState, weights: Record<string, number> | undefined): { method: string; json: Record<string, JsonValue> } {
  const picked = state.liked.length > 0;
  const json = picked
    ? toJson(PersonaliseRequestSchema, create(PersonaliseRequestSchema, personaliseOf(state, undefined)), NAMES)
    : toJson(SearchRequestSchema, create(SearchRequestSchema, searchOf(state, undefined, weights)), NAMES);
  return { method: picked ? "Personalise" : "Search", json: json as unknown as Record<string, JsonValue> };
}

// Names as in the proto files.
const NAMES = { useProtoFieldName: true };

function grpcurlText(state: SearchState, weights: Record<string, number> | undefined): string {
  const { method, json } = requestJson(state, weights);
  const service = method === "Search" ? "SearchService" : "FeedbackService";
  const { host, protocol } = new URL(serverUrl);
  const plain = protocol === "http:" ? "-plaintext " : "";
  const target = `${host} lapel.v1.${service}/${method}`;
  if (state.query.startsWith("photo:")) {
    const query = { image: "PHOTO" };
    const body = JSON.stringify({ query, ...json }, null, 2).replace('"PHOTO"', `"'"$(base64 -w0 ${PHOTO})"'"`);
    return `grpcurl ${plain}-d @ ${target} <<< '${body}'`;
  }
  const body = JSON.stringify(state.query === "" ? json : { query: { item_id: itemId(state) }, ...json }, null, 2);
  return `grpcurl ${plain}-d ${word(body)} ${target}`;
}

function itemId(state: SearchState): string {
  return state.query.slice("item:".length);
}

function pythonText(state: SearchState, weights: Record<string, number> | undefined): string {
  const { method, json } = requestJson(state, weights);
  const stub = method === "Search" ? "SearchServiceStub" : "FeedbackServiceStub";
  const module = method === "Search" ? "search_service" : "feedback_service";
  const { host } = new URL(serverUrl);
  const secure = serverUrl.startsWith("https");
  const channel = secure ? `grpc.secure_channel("${host}", grpc.ssl_channel_credentials())` : `grpc.insecure_channel("${host}")`;
  const query =
    state.query === "" ? [] : state.query.startsWith("item:") ? [`request.query.item_id = ${JSON.stringify(itemId(state))}`] : [`request.query.image = open("${PHOTO}", "rb").read()`];
  return [
    "import grpc",
    "from google.protobuf.json_format import ParseDict",
    `from lapel.v1 import ${module}_pb2, ${module}_pb2_grpc`,
    "",
    `request = ParseDict(${pythonValue(json)}, ${module}_pb2.${method}Request())`,
    ...query,
    `channel = ${channel}`,
    `answer = ${module}_pb2_grpc.${stub}(channel).${method}(request, timeout=30)`,
    "for result in answer.results:",
    "    print(result.item_id, result.distance)",
  ].join("\n");
}

/** JSON as Python writes it. */
function pythonValue(value: JsonValue, indent = ""): string {
  const deeper = `${indent}    `;
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) {
    return value.length === 0 ? "[]" : `[${value.map((part) => pythonValue(part, indent)).join(", ")}]`;
  }
  if (typeof value !== "object") return JSON.stringify(value);
  const rows = Object.entries(value).map(([key, part]) => `${deeper}${JSON.stringify(key)}: ${pythonValue(part, deeper)},`);
  return `{\n${rows.join("\n")}\n${indent}}`;
}

function typescriptText(state: SearchState, weights: Record<string, number> | undefined): string {
  const { method, json } = requestJson(state, weights);
  const picked = method !== "Search";
  const schema = `${method}RequestSchema`;
  const query =
    state.query === "" ? [] : [`request.query = create(QuerySchema, like(${state.query.startsWith("item:") ? JSON.stringify(itemId(state)) : `await readFile("${PHOTO}")`}));`];
  const photo = state.query.startsWith("photo:") ? ['import { readFile } from "node:fs/promises";'] : [];
  const create = state.query === "" ? "fromJson" : "create, fromJson";
  return [
    ...photo,
    `import { ${create} } from "@bufbuild/protobuf";`,
    ...(state.query === "" ? [] : ['import { like } from "@lapel/client";']),
    'import { connect } from "@lapel/client/node";',
    `import { ${state.query === "" ? "" : "QuerySchema, "}${schema} } from "@lapel/client/v1";`,
    "",
    `const lapel = connect({ baseUrl: ${JSON.stringify(serverUrl)} });`,
    `const request = fromJson(${schema}, ${JSON.stringify(json, null, 2)});`,
    ...query,
    `const answer = await lapel.${picked ? "feedback.personalise" : "search.search"}(request);`,
    "for (const { itemId, distance } of answer.results) console.log(itemId, distance);",
  ].join("\n");
}

/** A word of a command line. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function short(weight: number): string {
  return `${Number(weight.toPrecision(4))}`;
}
