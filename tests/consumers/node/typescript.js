// json-schema-to-typescript and `tsc --strict`, both dialects: the types of all documents stand together in one module,
// every value of the fixtures is of its type, and what TypeScript can refuse of the refused ones it does refuse.
// Usage: node typescript.js SCHEMA CORPUS

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";
import { admitted, dialects, documents, refusals } from "./documents.js";
import { tsc } from "./tsc.js";

/** What a type says of a refusal with one of these keywords, TypeScript says too; bounds it does not know. */
const known = new Set(["additionalProperties", "enum", "type"]);

const options = { bannerComment: "", additionalProperties: true, format: false };
mkdirSync("generated", { recursive: true });

let values = 0;
const modules = [];
for (const dialect of dialects) {
  const all = documents(dialect);
  const types = await Promise.all([...all].map(([name, document]) => compile(document, name, options)));
  const lines = types.join("\n");
  assert(!/: unknown;|Success\d/.test(lines), "a payload that is anything");
  const checks = admitted.map(
    ([name, value, from], at) => `const v${at}: ${all.get(name).title} = ${JSON.stringify(value)}; // ${from}`,
  );
  // An interface without a member admits every object.
  const hasMembers = ({ action }) => all.get(`params/${action}.json`).properties !== undefined;
  const refused = refusals
    .filter(({ refused }) => Object.values(refused).some((keyword) => known.has(keyword)))
    .filter(hasMembers)
    .map(
      ({ case: from, action, params }, at) =>
        `// @ts-expect-error ${from}\nconst r${at}: ${all.get(`params/${action}.json`).title} = ${JSON.stringify(params)};`,
    );
  values = checks.length + refused.length;
  const file = `generated/fixtures${dialect.replace("/", "")}.ts`;
  writeFileSync(file, [lines, ...checks, ...refused].join("\n"));
  modules.push(file);
}
tsc(modules);

// The trap: a payload of which nothing is said but its name is an index signature, which admits only objects.
const nameless = await compile({ title: "Envelope", type: "object", properties: { payload: { title: "Payload" } } }, "", options);
assert.match(nameless, /\[k: string\]: unknown/);

console.log(`${values} values checked against the types of each dialect`);
