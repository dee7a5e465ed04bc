"""Refuse to make an sdist: it could not hold the packages, which lie beside this folder."""

from setuptools import setup
from setuptools.command.sdist import sdist


class NoSdist(sdist):
    """Ends what would build the wheel from an sdist, such as `python -m build`."""

    def run(self) -> None:
        """Say what to do instead."""
        raise SystemExit("an sdist of the service would be empty: build its wheel, scripts/wheels")


setup(cmdclass={"sdist": NoSdist})
