"""The ``medai`` command."""
