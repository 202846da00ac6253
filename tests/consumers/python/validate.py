"""Python's jsonschema, both dialects: every document is a schema, and admits and refuses what the fixtures say and why.
Usage: python validate.py SCHEMA CORPUS"""

import json

from documents import DIALECTS, admitted, documents, refusals
from jsonschema import Draft7Validator, Draft202012Validator

VALIDATORS = {"": Draft202012Validator, "draft-07": Draft7Validator}

for dialect in DIALECTS:
    validators = {}
    for name, path in documents(dialect).items():
        document = json.loads(path.read_text())
        assert document["$schema"] == VALIDATORS[dialect].META_SCHEMA["$schema"], path
        VALIDATORS[dialect].check_schema(document)
        validators[name] = VALIDATORS[dialect](document)
    for name, value, case in admitted():
        errors = list(validators[name].iter_errors(value))
        assert not errors, f"{case}: {dialect} {name} refuses {value!r}: {errors}"
    for entry in refusals:
        errors = validators[f"params/{entry['action']}.json"].iter_errors(entry["params"])
        found = {("".join(f"/{step}" for step in error.path), error.validator) for error in errors}
        assert entry["refused"].items() <= found, f"{entry['case']}: {found}"
        assert entry["refused"].keys() == {place for place, _ in found}, f"{entry['case']}: {found}"
    update = validators["params/update.json"]
    assert update.is_valid(json.loads('{"alternate_smtp_port":2525.0}')), "an integer may be written as a float"
    assert not update.is_valid({"auth_mode": None}), "null is not absence"

print(f"{len(list(admitted()))} values admitted and {len(refusals)} refused, in both dialects")
