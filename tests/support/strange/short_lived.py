"""A worker that dies at once, the first TEST_DEATHS times that it is started."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Die, or be a worker."""
    marks = Path(os.environ["OPTSERVE_HOME"]) / "deaths"
    marks.mkdir(exist_ok=True)
    died = len(list(marks.iterdir()))
    if died < int(os.environ["TEST_DEATHS"]):
        (marks / str(died)).touch()
        sys.exit("it dies")
    from worker import main as worker  # noqa: PLC0415  dying is to be quick

    worker.main()


if __name__ == "__main__":
    main()
