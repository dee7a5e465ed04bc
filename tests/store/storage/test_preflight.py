"""A place that cannot be used ends a service with a line; one that is only away does not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.settings import Settings
from store.storage import preflight
from store.storage.preflight import Place, Unusable, Use
from tests.support.machine.disk import small_disk

pytestmark = pytest.mark.long

NOBODY = 65534


def storage_at(path: Path) -> Place:
    return Place("the storage", "OPTSERVE_STORAGE", path, Use.WRITE, "jobs")


def reason(place: Place) -> str:
    with pytest.raises(Unusable) as told:
        preflight.try_place(place)
    return str(told.value)


@contextmanager
def read_only(path: Path) -> Iterator[Path]:
    """Mount a small file system at *path* that has a folder `jobs` and takes no writes."""
    with small_disk(path, 1) as disk:
        (disk.root / "jobs").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        yield disk.root


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody for whom permissions hold."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def service(module: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPTSERVE_HOME": str(home), "REDIS_URL": "redis://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, "-m", module],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")

    preflight.require(preflight.of_worker(settings))

    assert {path.name for path in settings.home.iterdir()} == {"storage", "run", "data"}
    assert not [path for folder in settings.home.iterdir() for path in folder.iterdir()]


def test_a_storage_that_is_read_only_is_refused(tmp_path: Path) -> None:
    with read_only(tmp_path / "storage") as root:
        assert reason(storage_at(root)) == (
            f"the storage {root} (OPTSERVE_STORAGE) must be writable by this user "
            f"(uid {os.getuid()}): Read-only file system; mount it read-write"
        )
        preflight.try_place(Place("the folder of datasets", "OPTSERVE_DATA", root, Use.READ))


def test_a_storage_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with read_only(tmp_path / "root") as root:
        assert reason(storage_at(root / "storage")).endswith(
            "it does not exist and cannot be created: Read-only file system; mount it, or set "
            "OPTSERVE_STORAGE to another folder"
        )


@pytest.mark.parametrize("path", ["file", "file/storage"])
def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()

    said = reason(storage_at(tmp_path / path))

    assert "Not a directory; " in said
    assert said.endswith("set OPTSERVE_STORAGE to another folder")


@pytest.mark.parametrize("inner", ["", "jobs"])
def test_a_storage_of_somebody_else_is_refused(inner: str) -> None:
    # Not in pytest's own folder, through which only its user may go.
    made = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True)
    root = Path(made.stdout.strip())
    try:
        root.chmod(0o777)
        (root / inner).mkdir(exist_ok=True)
        (root / inner).chmod(0o555)
        with unprivileged():
            said = reason(storage_at(root))
    finally:
        subprocess.run(["rm", "-rf", str(root)], check=True)

    assert said.startswith(f"the storage {root / inner} (OPTSERVE_STORAGE) must be writable")
    assert f"Permission denied; give it to this user (chown {os.getuid()}), or set" in said


def test_a_password_that_is_missing_is_refused(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        OPTSERVE_REDIS_URL="redis://store",
        redis_password_file=tmp_path / "password",
    )

    *_, password = preflight.of_api(settings)

    assert reason(password) == (
        f"the store's password {tmp_path / 'password'} (OPTSERVE_REDIS_PASSWORD_FILE) must be a "
        f"file readable by this user (uid {os.getuid()}): No such file or directory; "
        "set OPTSERVE_REDIS_PASSWORD_FILE to another file"
    )


def test_what_hangs_or_fails_for_now_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "hangs")
    hangs = Place("one", "OPTSERVE_ONE", tmp_path / "hangs", Use.READ_FILE)
    fails = Place("two", "OPTSERVE_TWO", Path("/proc/self/mem"), Use.READ_FILE)  # EIO

    preflight.require([hangs, fails], limit_s=0.2)

    with (tmp_path / "hangs").open("w"):  # the thread ends
        pass
    assert f"one {tmp_path / 'hangs'} (OPTSERVE_ONE) did not respond within 0.2 s" in caplog.text
    assert "two /proc/self/mem (OPTSERVE_TWO) cannot be used now: [Errno 5]" in caplog.text


@pytest.mark.parametrize("module", ["api.app", "worker.main"])
def test_a_service_without_its_storage_ends_with_a_line(tmp_path: Path, module: str) -> None:
    (tmp_path / "storage").touch()

    done = service(module, tmp_path)

    assert done.returncode == os.EX_CONFIG
    assert done.stderr == (
        f"the storage {tmp_path / 'storage'} (OPTSERVE_STORAGE) must be writable by this user "
        f"(uid {os.getuid()}): Not a directory; set OPTSERVE_STORAGE to another folder\n"
    )


def test_a_worker_says_all_that_is_missing_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = service(
        "worker.main",
        tmp_path,
        OPTSERVE_RUN=str(tmp_path / "file"),
        OPTSERVE_DATA=str(tmp_path / "file" / "data"),
    )

    assert done.returncode == os.EX_CONFIG
    (line,) = done.stderr.splitlines()
    assert "the folder of locks and journals" in line
    assert "; also the folder of datasets" in line
