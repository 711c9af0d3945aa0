"""What the zipapp begins with, and what is frozen for Windows."""

import sys

if sys.platform == "win32":
    from guestwake_guest.windows.windows_cli import main
else:
    from guestwake_guest.cli import main

sys.exit(main(sys.argv[1:]))
