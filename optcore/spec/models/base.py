"""The base of all models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.spec.base import Spec
from optcore.spec.tasks.tasks import Target

if TYPE_CHECKING:  # an installed package imports this module while the layers are being listed
    from optcore.spec.layers.catalogue import AnyLayer


class ModelSpec(Spec):
    """
    The base of all models.

    Installed packages add models by entry points of the group ``optserve.models``
    (docs/extending.md).
    """

    kind: str
    """Name of the model."""

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers of the network, whose outputs fit *target*."""
        raise NotImplementedError
