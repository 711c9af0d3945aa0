"""What the zipapp begins with."""

import sys

from guestwake_guest.cli import main

sys.exit(main(sys.argv[1:]))
