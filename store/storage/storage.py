"""The storage: the files of all jobs, below a root folder that API and workers share."""

from __future__ import annotations

import errno
from collections.abc import Collection

from optcore.files.checkpoint_files import delete
from optcore.files.files import Files
from store.storage.names import STORE, attempts_in, number_of, unneeded_states


class Storage(Files):
    """
    The files of all jobs of a service.

    Every attempt writes to a folder of its own. A file is valid only once a job's record points to
    it.
    """

    @property
    def named(self) -> bool:
        """Whether the storage has the file ``store``; an unmounted storage does not have it."""
        return self.is_file(STORE)

    def require_mounted(self, why: str) -> None:
        """Raise `FileNotFoundError` with the text *why* if the storage has no file ``store``."""
        if not self.named:
            raise FileNotFoundError(errno.ENOENT, why, str(self.root))

    def delete_checkpoints(self, attempt: str, needed: Collection[str]) -> None:
        """
        Delete those checkpoints and best states of a job that are not in *needed*.

        Args:
            attempt: the folder of the attempt that calls this method. In the folders of later
                attempts nothing is deleted: the calling attempt may have lost the job to a later
                one without knowing it.
            needed: the paths of all files and folders that the job's record points to.
        """
        job = attempt.rpartition("/")[0]
        for folder in attempts_in(self, job):
            if number_of(folder) <= number_of(attempt):
                delete(self, unneeded_states(self, folder, needed))
