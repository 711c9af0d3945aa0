"""What guestwake-guest.exe begins with."""

import sys

from guestwake_guest.windows.windows_cli import main

sys.exit(main(sys.argv[1:]))
