"""Trainer processes: started ahead of need, replaced when they die, ended with their worker."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs.calls import Claim
from store.jobs.new_record import new_fields
from store.jobs.record import Record
from store.redis.server import prepare
from store.settings import Settings
from tests.support.machine.processes import alive, descendants, eventually, parent, priorities
from tests.support.store.protocol import SPEC, storage_of
from worker.processes.trainers import SPIN_COUNT, Trainer, TrainerDied, Trainers, environment

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def _settings(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set the store and the home of trainers in the environment."""
    with pytest.MonkeyPatch.context() as patch, redis.from_url(server.url) as client:
        client.flushall()  # tests of other modules may have named another storage
        prepare(client)
        home = tmp_path_factory.mktemp("home")
        storage = Settings(home=home).storage_dir
        storage.mkdir()
        storage_of(client, storage)
        patch.setenv("OPTSERVE_REDIS_URL", server.url)
        patch.setenv("OPTSERVE_HOME", str(home))
        yield


@pytest.fixture(scope="module")
def trainers(_settings: None) -> Iterator[Trainers]:
    """The trainers of a worker that all tests share."""
    trainers = Trainers("cpu")
    yield trainers
    trainers.close()


@pytest.fixture
def fresh(_settings: None) -> Iterator[Trainers]:
    """The trainers of a worker that has just been started."""
    trainers = Trainers("cpu")
    yield trainers
    trainers.close()


@pytest.fixture(scope="module")
def hanging(_settings: None) -> Iterator[Trainers]:
    """The trainers of a worker whose jobs never end."""
    trainers = Trainers("cpu", "tests.support.strange.hanging")
    trainers.fingerprint()
    yield trainers
    trainers.close()


def pid_of(trainers: Trainers) -> int:
    trainers.fingerprint()
    assert trainers._trainer is not None
    return trainers._trainer._fork.pid


def replaced(trainers: Trainers, pid: int) -> bool:
    return pid_of(trainers) != pid


NOBODYS = Claim("local", "job_1", "token")
"""A claim that the store knows nothing of."""
RECORD = Record(
    {
        **new_fields(JobSpec.parse(SPEC)),
        **{"id": NOBODYS.job_id, "tenant": NOBODYS.tenant, "attempt": "1", "checkpoints": "[]"},
    }
)


def test_a_trainer_that_died_while_idle_is_replaced(trainers: Trainers) -> None:
    first = pid_of(trainers)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: replaced(trainers, first))


def test_a_trainer_that_dies_during_a_job_is_an_error(hanging: Trainers) -> None:
    first = pid_of(hanging)
    threading.Timer(0.5, os.kill, (first, signal.SIGKILL)).start()

    with pytest.raises(TrainerDied, match=f"trainer {first} ended with signal SIGKILL"):
        hanging.train(NOBODYS, RECORD)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_whose_trainer_ends_before_it_begins_is_given_to_another(
    trainers: Trainers, number: signal.Signals
) -> None:
    """A trainer may be told to leave while a job is on its way to it."""
    first = pid_of(trainers)
    os.kill(first, signal.SIGSTOP)  # it seems to be there

    def end() -> None:
        os.kill(first, number)
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGCONT)

    threading.Timer(0.2, end).start()

    assert trainers.train(NOBODYS, RECORD).outcome == "fenced"
    assert not alive(first)


def test_a_trainer_without_a_valid_claim_is_fenced_and_not_used_again(
    trainers: Trainers,
) -> None:
    assert trainers.train(NOBODYS, RECORD).outcome == "fenced"
    assert trainers._trainer is None


def test_a_trainer_dies_with_its_worker(tmp_path: Path, server: EmbeddedServer) -> None:
    code = (
        "import time\n"
        "from worker.processes.trainers import Trainers\n"
        "trainers = Trainers('cpu')\n"
        "trainers.fingerprint()\n"
        "print(trainers._trainer._fork.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "OPTSERVE_REDIS_URL": server.url, "OPTSERVE_HOME": str(tmp_path)}
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert worker.stdout is not None
    trainer = int(worker.stdout.readline())

    worker.kill()
    worker.communicate()

    eventually(lambda: not alive(trainer), within_s=5)


def test_a_fork_server_that_died_is_replaced(hanging: Trainers) -> None:
    first = pid_of(hanging)
    server = parent(first)

    threading.Timer(0.5, os.kill, (server, signal.SIGKILL)).start()

    with pytest.raises(TrainerDied, match=f"trainer {first} ended together with its fork"):
        hanging.train(NOBODYS, RECORD)
    eventually(lambda: not alive(first))
    assert parent(pid_of(hanging)) != server


def test_the_fork_server_has_one_thread(trainers: Trainers) -> None:
    """Other threads do not survive a fork, and the locks that they hold stay locked."""
    assert len(list(Path(f"/proc/{parent(pid_of(trainers))}/task").iterdir())) == 1


def test_a_trainer_has_the_priority_of_its_worker(fresh: Trainers) -> None:
    """At a lower priority it takes a minute on a busy machine, and a job may wait for it."""
    done, seen = threading.Event(), set[int]()

    def watch() -> None:
        while not done.wait(0.005):
            for pid in descendants(os.getpid()):
                seen.update(priorities(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        fresh.fingerprint()
    finally:
        done.set()
        watcher.join()

    assert seen == {os.getpriority(os.PRIO_PROCESS, 0)}


@pytest.mark.usefixtures("_settings")
def test_a_fork_server_that_does_not_answer_is_replaced() -> None:
    trainers = Trainers("cpu", answer_s=1.0)
    try:
        first = pid_of(trainers)
        server = parent(first)

        os.kill(server, signal.SIGSTOP)
        assert pid_of(trainers) != first
        eventually(lambda: not alive(first) and not alive(server))
    finally:
        trainers.close()


@pytest.mark.usefixtures("_settings")
def test_a_fork_server_whose_imports_fail_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may be short for a moment, and a module that is half imported stays so."""
    mark, module = tmp_path / "tried", tmp_path / "once.py"
    module.write_text(
        "from pathlib import Path\n"
        "from worker.processes.trainer import main\n"
        f"mark = Path({str(mark)!r})\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    raise MemoryError\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trainers = Trainers("cpu", "once")
    try:
        with pytest.raises(TrainerDied, match="ended together with its fork server"):
            trainers.fingerprint()

        assert trainers.train(NOBODYS, RECORD).outcome == "fenced"
        assert mark.exists()
    finally:
        trainers.close()


def test_an_answer_that_was_not_read_is_skipped(trainers: Trainers) -> None:
    """A second SIGTERM may come between a request and its answer."""
    first = pid_of(trainers)
    assert trainers._server is not None

    trainers._server.send({"poll": first})
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not alive(first))
    trainers._server.send({"poll": first})

    eventually(lambda: replaced(trainers, first))
    assert alive(pid_of(trainers))


def test_a_signal_to_the_process_group_ends_only_the_trainer(trainers: Trainers) -> None:
    """Service managers stop a worker so, and its run is to be saved."""
    first = pid_of(trainers)
    server = parent(first)

    for pid in (server, first):
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: replaced(trainers, first))
    assert parent(pid_of(trainers)) == server


def test_a_worker_that_leaves_does_not_wait_for_imports(fresh: Trainers) -> None:
    fresh.prepare()
    threading.Timer(0.2, fresh.drain).start()  # where the worker has its signal handler

    with pytest.raises(TrainerDied, match="trainer ended together with its fork server"):
        fresh.fingerprint()
    with pytest.raises(TrainerDied, match="the worker is stopping"):
        fresh.train(NOBODYS, RECORD)


def test_a_trainer_that_cannot_be_started_leaks_no_descriptors(trainers: Trainers) -> None:
    """A worker tries again and again: each try would leave it fewer descriptors."""
    trainers.fingerprint()
    assert trainers._server is not None
    before = descriptors()

    with few_descriptors(3), pytest.raises(OSError, match="Too many open files"):
        Trainer(trainers._server, "cpu")

    assert descriptors() == before


@contextmanager
def few_descriptors(left: int) -> Iterator[None]:
    """Let this process open *left* more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, descriptors())) + 8, hard))
    taken = list[int]()
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(left):
            os.close(taken.pop())
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors() -> set[str]:
    """Return the descriptors of this process, without that of the folder being read."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


def test_threads_spin_briefly_unless_the_environment_sets_how_to_wait() -> None:
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert environment({"HOME": "/"}) == {"HOME": "/", "GOMP_SPINCOUNT": SPIN_COUNT} | order
    for said in ({"OMP_WAIT_POLICY": "PASSIVE"}, {"GOMP_SPINCOUNT": "7"}):
        assert environment(said) == said | order


def test_a_ready_trainer_has_not_imported_a_compiler_or_scikit_learn(
    trainers: Trainers,
) -> None:
    """Each takes as long to import as torch itself, in every worker that starts."""
    program = (
        "import sys, threading; from worker.attempt.runner import JobRunner, warm_up; "
        "warm_up(); print(JobRunner('cpu', threading.Event()).fingerprint); "
        "print([name for name in ('torch._dynamo', 'sympy', 'sklearn', 'scipy') "
        "if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    fingerprint, found = done.stdout.splitlines()
    assert fingerprint == trainers.fingerprint()
    assert found == "[]"
