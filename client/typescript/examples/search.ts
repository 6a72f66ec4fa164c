// Describes a photo, searches for it with short sleeves, and meets an error: node search.js PHOTO
import { readFile } from "node:fs/promises";
import { LapelError, changed, like } from "@lapel/client";
import { connect } from "@lapel/client/node";

const baseUrl = process.env.LAPEL_SERVER ?? "http://127.0.0.1:7700";
const lapel = connect({ baseUrl, token: process.env.LAPEL_TOKEN ?? "" });
const image = await readFile(process.argv[2] ?? "dress.jpg");

const { attributes } = await lapel.search.describe({ source: { case: "image", value: image } });
for (const { attribute, labels, unsure } of attributes) console.log(attribute, labels[0]?.label, unsure ? "unsure" : "");

const answer = await lapel.search.search({
  query: like(image),
  manipulations: changed({ sleeve_length: "short" }),
  k: 10,
  explain: true,
});
for (const { itemId, distance, matchesAll } of answer.results) console.log(itemId, distance, matchesAll);

try {
  await lapel.search.search({ query: like("nobody"), k: 0 });
} catch (error) {
  if (!(error instanceof LapelError)) throw error;
  for (const { field, description } of error.faults) console.log(error.status, field, description);
}
