"""check-jsonschema, both dialects: every document passes its meta-schema, every value of the fixtures its document, and
every refused one fails. Its own entry, in this process: starting it a hundred times would take a minute.
Usage: python check.py SCHEMA CORPUS"""

import contextlib
import io
import json
import tempfile
from pathlib import Path

from check_jsonschema import main
from documents import DIALECTS, admitted, documents, refusals


def check(*arguments):
    """Its exit status, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(["--color", "never", *map(str, arguments)])
        except SystemExit as end:
            return end.code or 0, said.getvalue()
    return 0, said.getvalue()


with tempfile.TemporaryDirectory() as folder:

    def written(value, names=iter(range(100000))):
        path = Path(folder, f"{next(names)}.json")
        path.write_text(json.dumps(value))
        return path

    values = {}
    for name, value, _ in admitted():
        values.setdefault(name, {})[json.dumps(value)] = value
    files = {name: [written(value) for value in some.values()] for name, some in values.items()}
    for dialect in DIALECTS:
        all_documents = documents(dialect)
        status, said = check("--check-metaschema", *all_documents.values())
        assert status == 0, said
        for name, some in files.items():
            status, said = check("--schemafile", all_documents[name], *some)
            assert status == 0, said
        for entry in refusals:
            path = all_documents[f"params/{entry['action']}.json"]
            status, said = check("--schemafile", path, written(entry["params"]))
            assert status == 1, f"{entry['case']}: {said}"

print(f"{sum(map(len, files.values()))} values admitted and {len(refusals)} refused, in both dialects")
