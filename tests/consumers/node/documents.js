// What every reader of this folder is given: the documents of schema/ in each dialect, and the corpus of requests.

import { readdirSync, readFileSync } from "node:fs";

const [root, corpusFile] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));

/** The folder of each dialect below schema/. */
export const dialects = ["", "draft-07/"];

export const openrpc = read(`${root}/openrpc.json`);

/** Every document of a dialect, by its path without the dialect's folder. */
export function documents(dialect) {
  const files = ["params", "payload"].flatMap((kind) =>
    readdirSync(`${root}/${dialect}${kind}`).map((file) => `${kind}/${file}`),
  );
  return new Map([...files, "envelope.json"].map((file) => [file, read(`${root}/${dialect}${file}`)]));
}

/** Every request of the golden conversations: case, id, action, params, refused, envelope. */
export const corpus = readFileSync(corpusFile, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

/** The values that a document admits, of those that were seen: [document, value, case]. */
export const admitted = corpus.flatMap(({ case: name, action, params, refused, envelope }) => [
  ...(Object.keys(refused).length === 0 ? [[`params/${action}.json`, params, name]] : []),
  ...(envelope ? [["envelope.json", envelope, name]] : []),
  ...(envelope?.status === 0 ? [[`payload/${action}.json`, envelope.payload, name]] : []),
]);

/** The requests that a schema refuses. */
export const refusals = corpus.filter(({ refused }) => Object.keys(refused).length !== 0);
