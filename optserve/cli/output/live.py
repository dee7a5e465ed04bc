"""The progress of a job: one live line in a terminal, or a line every few seconds elsewhere."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from rich.live import Live
from rich.text import Text

from optserve.cli.output.terminal import Terminal, visible
from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import MetricRow, RowsTruncated, StreamEnd
from optserve.contract.states import State

REFRESH_PER_S = 8
QUIET_S = 5.0
"""Minimum seconds between two lines if the output is not a terminal."""
WINDOW_S = 5.0
"""Seconds over which the speed is measured."""


class Speed:
    """Measures the training speed over the last few seconds, in steps per second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, steps: int) -> None:
        """Record that the job has made *steps* steps by now."""
        now = self._clock()
        self._samples.append((now, steps))
        # Two samples stay, however old: a job with a step a minute has a speed, too.
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:  # noqa: PLR2004
            self._samples.popleft()

    def __call__(self) -> float:
        """Return the speed in steps per second; 0 while it is unknown."""
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0


def follow(client: Client, job: Job, console: Terminal) -> StreamEnd:
    """Show the progress of a job until it ends; return the last event of its stream."""
    last: MetricRow | None = None
    speed = Speed()
    state = job.state
    printed_at = -math.inf
    with Live(console=console, refresh_per_second=REFRESH_PER_S, transient=True) as live:
        for update in client.follow(job.id):
            if isinstance(update, StreamEnd):
                return update
            if isinstance(update, list):
                last = update[-1]
                speed.update(last.step + 1)
            elif isinstance(update, RowsTruncated):
                # Measured anew from here: steps that are sent again must not count as progress.
                last, speed = None, Speed()
                speed.update(update.step)
            else:
                state = update.state
            line = progress_line(state, last, job.total_steps, speed() if last else 0.0)
            if console.is_terminal:
                # Escaped here: `Terminal.render_str` sees strings only, and this is a Text.
                live.update(Text(visible(line), no_wrap=True, overflow="ellipsis"))
            elif time.monotonic() - printed_at > QUIET_S:
                printed_at = time.monotonic()
                console.say(line)
    raise AssertionError("Client.follow ended without a StreamEnd")


def progress_line(state: State, last: MetricRow | None, total: int, per_second: float) -> str:
    """
    Return the progress of a job as one line of text: step, lr, loss, speed and time left.

    Args:
        state: the job's state; the line has only the state while no step is known.
        last: the metrics of the last step; None if no step is known.
        total: the number of steps of the job.
        per_second: the speed in steps per second. If it is 0, speed and time left are omitted.
    """
    if last is None:
        return f"{state} ..."
    done = last.step + 1
    speed, left = "", ""
    if per_second > 0:
        speed = f"  {per_second:.1f} steps/s"
        left = f"  {duration((total - done) / per_second)} left"
    step = f"step {done:>{len(str(total))}}/{total}"
    return f"{step}  lr {last.lr:.4g}  loss {last.loss:.4f}{speed}{left}"


def duration(seconds: float) -> str:
    """Return *seconds* as text: ``1:05``, or ``2:03:04`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
