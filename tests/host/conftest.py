"""A real host: `lab_host` is a Debian with systemd, freshly booted (docs/lab.md)."""

from __future__ import annotations

from lab.fixtures_host import lab_host, lab_host_of_session, pytest_collection_modifyitems

__all__ = ["lab_host", "lab_host_of_session", "pytest_collection_modifyitems"]
