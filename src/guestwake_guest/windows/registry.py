"""What is asked of the registry. `windows_registry.py` asks Windows'; tests give a dictionary."""

from __future__ import annotations

from typing import Any, Protocol


class Registry(Protocol):
    """Below HKEY_LOCAL_MACHINE, in the view of 64-bit programs. Each raises OSError where it may
    not be asked."""

    def has_key(self, key: str) -> bool: ...
    def value(self, key: str, name: str) -> Any:
        """As winreg gives it. None: there is none."""
        ...
