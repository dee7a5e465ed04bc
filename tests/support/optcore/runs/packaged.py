"""
A run in a process of its own, for tests that start it where packages are installed.

``python -m tests.support.optcore.runs.packaged SPEC FOLDER``: trains the run in the JSON SPEC, and
again from a checkpoint in FOLDER in its middle, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from optcore.files.files import Files
from optcore.packages.check import all_problems
from optcore.packages.entry_points import PackageError
from optcore.spec.former.runs import is_former
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.fingerprint import fingerprint
from tests.support.optcore.runs.image_run import start, steps

MIDDLE = 7


def main() -> None:
    """Train the run, and print what came of it."""
    spec, files = RunSpec.parse(json.loads(sys.argv[1])), Files(Path(sys.argv[2]))
    found: dict[str, object] = {"problems": all_problems()}
    try:
        whole, first, resumed = start(spec), start(spec), start(spec)
        losses = [report.loss for report in steps(whole)]
        steps(first, MIDDLE)
        saved = checkpoint.save(first, files)
        checkpoint.restore(resumed, files, saved.path, sha256=saved.sha256)
        again = [report.loss for report in steps(resumed)]
        facts = whole.facts()
        found |= {
            "losses": losses,
            "same": again == losses[MIDDLE:]
            and digest(resumed.tensors()) == digest(whole.tensors()),
            "packages": spec.packages,
            "former": is_former(spec),
            "fact": facts.get("packages"),
            "fingerprint": fingerprint(facts)
            == fingerprint({name: each for name, each in facts.items() if name != "packages"}),
            "tensors": sorted(whole.model_tensors()),
        }
    except PackageError as error:
        found["error"] = str(error)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
