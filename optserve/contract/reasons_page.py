"""
Write the page about reasons: ``python -m optserve.contract.reasons_page docs/reasons.md``.

The page is generated from the texts in `optserve.contract.states.Reason`; a test checks that it is
up to date.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from optserve.contract.states import Reason

HEAD = """\
# Why a job failed

A `failed` job has a `reason`, one of the words below, a `detail` that describes the particular
failure, and a history at `/v1/jobs/{id}/events`. The loss of a worker is not among the reasons: the
job then continues on another worker. Whatever the reason, the job's rows, history and checkpoints
are retained, and `POST /v1/jobs/{id}/clone` starts another job from them.
"""


def page() -> str:
    """Return the page's Markdown: one section per reason, in the order of the class."""
    return HEAD + "".join(f"\n## {reason}\n\n{text}\n" for reason, text in sections())


def sections() -> Iterator[tuple[Reason, str]]:
    """Yield each reason with the text under it in the source."""
    # Python keeps no texts under the members of an enumeration.
    (source,) = ast.parse(inspect.getsource(Reason)).body
    assert isinstance(source, ast.ClassDef)
    for member, below in pairwise(source.body):
        match member, below:
            case (
                ast.Assign(value=ast.Constant(value=str(value))),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield Reason(value), inspect.cleandoc(text)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
