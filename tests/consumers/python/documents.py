"""What every reader of this folder is given: the documents of schema/ in each dialect, and the corpus of requests."""

import json
import sys
from pathlib import Path

ROOT, CORPUS = map(Path, sys.argv[1:3])

# The folder of each dialect below schema/.
DIALECTS = ["", "draft-07"]


def documents(dialect):
    """The path of every document of a dialect, by its path without the dialect's folder."""
    folder = ROOT / dialect
    paths = [*folder.glob("params/*.json"), *folder.glob("payload/*.json"), folder / "envelope.json"]
    return {str(path.relative_to(folder)): path for path in sorted(paths)}


corpus = [json.loads(line) for line in CORPUS.read_text().splitlines()]
assert corpus, f"{CORPUS} is empty"

# The requests that a schema refuses.
refusals = [entry for entry in corpus if entry["refused"]]


def admitted():
    """The values that a document admits, of those that were seen: document, value, case."""
    for entry in corpus:
        case, action, envelope = entry["case"], entry["action"], entry["envelope"]
        if not entry["refused"]:
            yield f"params/{action}.json", entry["params"], case
        if envelope:
            yield "envelope.json", envelope, case
            if envelope["status"] == 0:
                yield f"payload/{action}.json", envelope["payload"], case
