"""What host and guest share: the protocol of docs/protocol.md, and what both do alike for it.

Standard library only, Python >= 3.9, light to import: the guest's service lives on 15 MB.
"""

__version__ = "0.1.0"  # of Guestwake, host and guest: pyproject.toml reads it here
