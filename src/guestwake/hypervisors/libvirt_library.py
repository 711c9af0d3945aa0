"""The one place that imports libvirt, and makes it silent before it can speak.

As it is imported it reads from the environment where to log; it would be stderr. Whoever looks
for a fault in libvirt itself sets LIBVIRT_LOG_OUTPUTS and is obeyed.
"""

from __future__ import annotations

import os

os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")

import libvirt
import libvirt_qemu

__all__ = ["libvirt", "libvirt_qemu"]


def _ignore(*_: object) -> None:
    """Each error comes as an exception too."""


libvirt.registerErrorHandler(_ignore, None)
