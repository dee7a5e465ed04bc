"""The base of all models."""

from __future__ import annotations

from optcore.spec.base import Spec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.tasks.tasks import Target


class ModelSpec(Spec):
    """The base of all models."""

    kind: str
    """Name of the model."""

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers of the network, whose outputs fit *target*."""
        raise NotImplementedError
