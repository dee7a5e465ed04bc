"""The storage: files of jobs below one root that API and workers share."""

from __future__ import annotations

import errno
from collections.abc import Collection

from optcore.files.checkpoint import delete
from optcore.files.files import Files
from store.storage.names import STORE, attempts_in, number_of, unneeded_states


class Storage(Files):
    """
    The files of a service's jobs.

    Every attempt writes into a folder of its own; only what a record points to is real.
    """

    @property
    def named(self) -> bool:
        """Whether it bears the name of a store: a folder whose mount is away does not."""
        return self.is_file(STORE)

    def require_mounted(self, why: str) -> None:
        """Raise `FileNotFoundError` if it bears no name: what is written would be gone later."""
        if not self.named:
            raise FileNotFoundError(errno.ENOENT, why, str(self.root))

    def delete_checkpoints(self, attempt: str, needed: Collection[str]) -> None:
        """
        Delete the checkpoints and best states of a job that are not *needed*.

        Args:
            attempt: folder of the attempt that asks. Those of later ones are left alone: it may
                have lost the job without knowing.
            needed: their paths, as a record has them; one may lie deeper in what is retained.
        """
        job = attempt.rpartition("/")[0]
        for folder in attempts_in(self, job):
            if number_of(folder) <= number_of(attempt):
                delete(self, unneeded_states(self, folder, needed))
