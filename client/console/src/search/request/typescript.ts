// The request as a program of the TypeScript client.
import { hasToken, serverUrl } from "../../api";
import { personaliseOf, searchOf } from "../ask";
import type { SearchState } from "../state";
import type { Request } from "./request";
import { PHOTO, itemOf } from "./subject";

// What fits in a line.
const WIDTH = 100;

export function typescriptText({ state, weights }: Request): string {
  const picked = state.liked.length > 0;
  const { query: _, manipulations: __, showFields: ___, ...rest } = picked ? personaliseOf(state, undefined) : searchOf(state, undefined, weights);
  const edited = Object.keys(state.edits).length > 0;
  const helpers = [...(edited ? ["changed"] : []), ...(state.query === "" ? [] : ["like"])];
  const fields = [
    ...(state.query === "" ? [] : [`query: like(${source(state)})`]),
    ...(edited ? [`manipulations: changed(${literal(state.edits)})`] : []),
    ...members(rest, "  "),
  ];
  const results = state.group !== "" && !picked ? "answer.groups.flatMap(({ results }) => results)" : "answer.results";
  const token = hasToken() ? ', token: process.env.LAPEL_TOKEN ?? ""' : "";
  return [
    ...(state.query.startsWith("photo:") ? ['import { readFile } from "node:fs/promises";'] : []),
    ...(helpers.length > 0 ? [`import { ${helpers.join(", ")} } from "@lapel/client";`] : []),
    'import { connect } from "@lapel/client/node";',
    "",
    `const lapel = connect({ baseUrl: ${JSON.stringify(serverUrl)}${token} });`,
    `const answer = await lapel.${picked ? "feedback.personalise" : "search.search"}({`,
    ...fields.map((field) => `  ${field},`),
    "});",
    `for (const { itemId, distance } of ${results}) console.log(itemId, distance);`,
  ].join("\n");
}

function source(state: SearchState): string {
  const id = itemOf(state.query);
  return id === undefined ? `await readFile(${JSON.stringify(PHOTO)})` : JSON.stringify(id);
}

/** A value as it is written, in a line or in several. */
function literal(value: unknown, indent = ""): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const [open, close, pad] = Array.isArray(value) ? ["[", "]", ""] : ["{", "}", " "];
  const parts = (deeper: string) => (Array.isArray(value) ? value.map((part) => literal(part, deeper)) : members(value, deeper));
  const line = `${open}${pad}${parts("").join(", ")}${pad}${close}`;
  if (indent.length + line.length <= WIDTH && !line.includes("\n")) return line;
  const deeper = `${indent}  `;
  return `${open}\n${parts(deeper).map((part) => `${deeper}${part},\n`).join("")}${indent}${close}`;
}

/** What an object says, without what is not set. */
function members(value: object, indent: string): string[] {
  const said = Object.entries(value).filter(([name, member]) => name !== "$typeName" && !isUnset(member));
  return said.map(([name, member]) => `${/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)}: ${literal(member, indent)}`);
}

function isUnset(value: unknown): boolean {
  if (value === undefined || value === "") return true;
  return typeof value === "object" && value !== null && Object.values(value).every((part) => part === undefined);
}
