// ajv in strict mode, both dialects: compiles every document, admits and refuses what the fixtures say and why, and
// holds the OpenRPC document against OpenRPC's own schema. Usage: node ajv.js SCHEMA CORPUS

import assert from "node:assert/strict";
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import openrpcMeta from "@open-rpc/meta-schema";
import schemaMeta from "@json-schema-tools/meta-schema";
import { admitted, dialects, documents, openrpc, refusals } from "./documents.js";

const strict = { strict: true, allErrors: true };
const classes = { "": Ajv2020, "draft-07/": Ajv };

for (const dialect of dialects) {
  const ajv = new classes[dialect](strict);
  const validators = new Map([...documents(dialect)].map(([name, document]) => [name, ajv.compile(document)]));
  for (const [name, value, from] of admitted) {
    const validate = validators.get(name);
    assert(validate(value), `${from}: ${dialect}${name} refuses ${JSON.stringify(value)}: ${ajv.errorsText(validate.errors)}`);
  }
  for (const { case: from, action, params, refused } of refusals) {
    const validate = validators.get(`params/${action}.json`);
    assert(!validate(params), `${from}: ${dialect}params/${action}.json admits ${JSON.stringify(params)}`);
    const places = new Set(validate.errors.map((error) => error.instancePath));
    assert.deepEqual(places, new Set(Object.keys(refused)), from);
    for (const [place, keyword] of Object.entries(refused)) {
      assert(validate.errors.some((error) => error.instancePath === place && error.keyword === keyword), `${from}: ${place} ${keyword}`);
    }
  }
  const update = validators.get("params/update.json");
  assert(update(JSON.parse('{"alternate_smtp_port":2525.0}')), "an integer may be written as a float");
  assert(!update({ auth_mode: null }), "null is not absence");
  assert(validators.get("envelope.json")({ status: 0, payload: "Success", reply_code: 0 }), "the envelope is open");
}

// What strict readers do with documents as they are not: each of these shows that the one above sees its trap.
const port = documents("draft-07/").get("params/update.json");
const trapped = (change) => {
  const document = structuredClone(port);
  change(document, document.properties.alternate_smtp_port);
  document.$id = "urn:mail-smtp2:trap";
  return document;
};
for (const [what, change] of Object.entries({
  "a format of schemars": (_, it) => (it.format = "uint16"),
  "a keyword of our own": (it) => (it["x-since"] = "1"),
  "a union of types": (_, it) => (it.type = ["integer", "string"]),
})) {
  assert.throws(() => new Ajv(strict).compile(trapped(change)), what);
}
const filled = {};
new Ajv({ ...strict, useDefaults: true }).compile(trapped((_, it) => (it.default = 587)))(filled);
assert.deepEqual(filled, { alternate_smtp_port: 587 }, "a default is sent by clients that were asked for nothing");
const untouched = {};
new Ajv({ ...strict, useDefaults: true }).compile(port)(untouched);
assert.deepEqual(untouched, {}, "an update of nothing moves nothing");

// OpenRPC's schema refers to that of JSON Schema, which is here too, by its address without the slash at its end.
const ajv = formats.default(new Ajv({ strict: false, allErrors: true }));
const { $schema, ...jsonSchema } = schemaMeta.default ?? schemaMeta;
ajv.addSchema(jsonSchema);
const { $schema: _, ...meta } = JSON.parse(
  JSON.stringify(openrpcMeta.openrpcDocument).replaceAll('"https://meta.json-schema.tools"', `"${jsonSchema.$id}"`),
);
const isOpenrpc = ajv.compile(meta);
assert(isOpenrpc(openrpc), ajv.errorsText(isOpenrpc.errors));
assert(!isOpenrpc({ ...openrpc, methods: [{ name: "nothing else" }] }), "the meta-schema judges");

// Every example of a method fits what it is an example of.
const inside = new Ajv({ strict: false, allErrors: true });
inside.addSchema(openrpc, "openrpc");
const at = (pointer) => inside.compile({ $ref: `openrpc${pointer}` });
for (const method of openrpc.methods) {
  assert(method.examples.length > 0, `${method.name} has no example`);
  for (const { params, result } of method.examples) {
    assert(at(method.result.schema.$ref)(result.value), method.name);
    for (const { name, value } of params) {
      assert(at(method.params.find((param) => param.name === name).schema.$ref)(value), `${method.name}: ${name}`);
    }
  }
}

console.log(`${admitted.length} values admitted and ${refusals.length} refused, in both dialects; OpenRPC's schema accepts openrpc.json`);
