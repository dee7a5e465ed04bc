"""
The fork server: ``python -m worker.processes.forkserver MODULE SOCKET PARENT``.

MODULE is the module whose `main` a trainer runs. SOCKET is the file descriptor of a socket to the
worker, and PARENT is the process id of the worker.

The server imports all that training needs, which takes seconds. It forks a trainer whenever its
worker requests one, which takes milliseconds. It computes nothing itself: torch's threads and its
GPU state do not survive a fork.

Each request on the socket is a JSON object, and so is the answer, which has the same `number`:

``{"number": N, "fork": DEVICE}`` with two file descriptors
    Fork a trainer that reads from the first descriptor and writes to the second. The answer is
    ``{"number": N, "pid": PID}``.
``{"number": N, "poll": PID}``
    Check a forked process. The answer is ``{"number": N, "code": CODE}``, where CODE is null while
    the process is running, then its exit code, or the negative number of the signal that ended it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys

from worker.processes.tether import die_with_parent

MESSAGE_BYTES = 4096
"""Maximum size of a message in bytes."""
TRAINER = "worker.processes.trainer"
PACKAGES = "optcore.packages.check"


def main() -> None:
    """Serve the worker until it closes the socket; in a forked process, run the trainer."""
    module, handle, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # Before the imports, which take seconds: a worker that dies meanwhile leaves nothing behind.
    die_with_parent(signal.SIGKILL, parent)
    # A signal that is sent to the whole process group is meant for the trainers.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for name in (TRAINER, module):
        importlib.import_module(name)
    # `worker.main` has checked that this works.
    importlib.import_module(PACKAGES).load_all()
    gc.collect()
    gc.freeze()  # a collection writes to every object, so each fork would copy the shared pages
    # A fork leaves this block too and closes its copy of the socket: otherwise the worker would not
    # notice the end of the server while a trainer is alive.
    with socket.socket(fileno=handle) as worker:
        forked = _serve(worker)
    if forked is not None:
        importlib.import_module(module).main(*forked)


def _serve(worker: socket.socket) -> tuple[str, int, int] | None:
    """
    Answer the requests on the socket *worker*; return None once the worker has closed the socket.

    In a forked process, return the arguments for the trainer: the device and two descriptors.
    """
    codes: dict[int, int] = {}
    while True:
        message, descriptors, _, _ = socket.recv_fds(worker, MESSAGE_BYTES, 2)
        if not message:
            return None
        request = json.loads(message)
        if "poll" in request:
            answer = {"code": _code(request["poll"], codes)}
        else:
            server, pid = os.getpid(), os.fork()
            if not pid:
                os.setpgid(0, 0)
                # A fork clears this setting.
                die_with_parent(signal.SIGKILL, server)
                reads, writes = descriptors
                return request["fork"], reads, writes
            # If the descriptors stayed open here, and in every later fork, the worker would not
            # notice the end of this trainer.
            for descriptor in descriptors:
                os.close(descriptor)
            answer = {"pid": pid}
        worker.send(json.dumps({"number": request["number"], **answer}).encode())


def _code(pid: int, codes: dict[int, int]) -> int | None:
    """Return the exit code of child *pid*, or None while it runs; *codes* caches exit codes."""
    if pid not in codes:
        # A second wait would fail, so the code is kept: the answer with it may be lost if a signal
        # interrupts the worker. Until this wait, the id is not given to another process.
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


if __name__ == "__main__":
    main()
