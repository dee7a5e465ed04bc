"""A worker that can never work, and says so."""

import os
import sys

SAID = "the storage /nowhere (OPTSERVE_STORAGE) must be writable"


if __name__ == "__main__":
    sys.stderr.write(f"{SAID}\n")
    sys.exit(os.EX_CONFIG)
