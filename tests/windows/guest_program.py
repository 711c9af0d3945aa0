"""What guestwake-guest.exe is, not frozen: for Windows' service manager under Wine."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from guestwake_guest.windows.windows_cli import main

sys.exit(main(sys.argv[1:]))
