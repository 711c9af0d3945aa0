"""What guestwake.exe begins with.

To its own modules it is what python.exe is: those that it starts (its managers, the reader of
guests' messages) are called as they are where nothing is frozen, `-I -m guestwake.channels.reader`.
"""

import runpy
import sys

_FLAGS = ("-I", "-B", "-P")

words = sys.argv[1:]
while words and words[0] in _FLAGS:
    del words[0]
if words[:1] == ["-m"] and len(words) > 1 and words[1].startswith("guestwake."):
    sys.argv = [words[1], *words[2:]]
    runpy.run_module(words[1], run_name="__main__", alter_sys=True)
else:
    from guestwake.edges.cli import main

    sys.exit(main())
