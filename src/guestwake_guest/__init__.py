"""The Guest Update Service: tells the host what this guest needs, and is told when the window is.

It installs nothing, restarts nothing and is never the parent of an installer. Standard library
only, Python >= 3.9, everything imported at its start: it lives through upgrades of Python, of
libraries and of itself.
"""

from guestwake_wire import __version__

VERSION = __version__
AGENT = f"guestwake-guest {VERSION}"
