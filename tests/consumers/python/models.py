"""datamodel-code-generator, both dialects: models of Pydantic for all documents, imported; every value of the fixtures
is read into its model and written again as it was, and every refused one is refused.
Usage: python models.py SCHEMA CORPUS"""

import importlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from datamodel_code_generator import DataModelType, InputFileType, generate
from datamodel_code_generator.format import Formatter
from documents import DIALECTS, admitted, documents, refusals
from pydantic import TypeAdapter, ValidationError

with tempfile.TemporaryDirectory() as folder:
    sys.path.insert(0, folder)
    for dialect in DIALECTS:
        package = "models" + dialect.replace("-", "")
        copies = Path(folder, "copies", package)
        for name, path in documents(dialect).items():
            copy = copies / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        output = Path(folder, package)
        generate(
            copies,
            input_file_type=InputFileType.JsonSchema,
            output=output,
            output_model_type=DataModelType.PydanticV2BaseModel,
            formatters=[Formatter.BUILTIN],
        )

        def model(name):
            title = json.loads((copies / name).read_text())["title"]
            module = ".".join([package, *Path(name).with_suffix("").parts])
            # An enum is no model, but a type like any other.
            return TypeAdapter(getattr(importlib.import_module(module), title))

        for name, value, case in admitted():
            kind = model(name)
            again = kind.dump_python(kind.validate_python(value), mode="json", exclude_unset=True)
            assert again == value, f"{case}: {name}: {value!r} came out as {again!r}"
        for entry in refusals:
            # As JSON, and strictly: else "1" would be an integer.
            try:
                model(f"params/{entry['action']}.json").validate_json(json.dumps(entry["params"]), strict=True)
            except ValidationError:
                continue
            raise AssertionError(f"{entry['case']}: {entry['params']!r} was admitted")

print(f"{len(list(admitted()))} values went through the models of each dialect, {len(refusals)} were refused")
