"""
The work of the commands that need no service: ``convert`` and ``schedule plot``.

This package is imported only when one of these commands runs, because its imports are slow.
"""
