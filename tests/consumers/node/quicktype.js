// quicktype, both dialects: TypeScript with converters that check at run time, compiled by `tsc --strict`; every value
// of the fixtures goes through its converter and comes out as it was. Usage: node quicktype.js SCHEMA CORPUS

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { FetchingJSONSchemaStore, InputData, JSONSchemaInput, quicktype } from "quicktype-core";
import { admitted, dialects, documents } from "./documents.js";
import { tsc } from "./tsc.js";

const generated = (dialect) => `generated/quicktype${dialect.replace("/", "")}`;

mkdirSync("generated", { recursive: true });
for (const dialect of dialects) {
  const schemas = new JSONSchemaInput(new FetchingJSONSchemaStore());
  for (const document of documents(dialect).values()) {
    await schemas.addSource({ name: document.title, schema: JSON.stringify(document) });
  }
  const inputData = new InputData();
  inputData.addInput(schemas);
  const { lines } = await quicktype({ inputData, lang: "typescript" });
  writeFileSync(`${generated(dialect)}.ts`, lines.join("\n"));
}
tsc(dialects.map((dialect) => `${generated(dialect)}.ts`));

for (const dialect of dialects) {
  const all = documents(dialect);
  const { Convert } = await import(pathToFileURL(`${generated(dialect)}.js`));
  for (const [name, value, from] of admitted) {
    const { title } = all.get(name);
    const back = Convert[`${title[0].toLowerCase()}${title.slice(1)}ToJson`];
    assert.deepEqual(JSON.parse(back(Convert[`to${title}`](JSON.stringify(value)))), value, `${from}: ${name}`);
  }
}
console.log(`${admitted.length} values went through the converters of each dialect`);
