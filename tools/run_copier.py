"""Copier's command, without the work that it repeats for every file. A wrong answer prints one line.

Usage: python -m tools.run_copier [ARGUMENT OF COPIER]…
"""

import gc
import runpy
import sys


def main() -> None:
    sys.tracebacklimit = 0
    # The objects of the imports are not garbage, and searching them would take a tenth of the time.
    gc.disable()
    from tools import shortcuts  # noqa: PLC0415 - imports Copier

    shortcuts.take()
    runpy.run_module("copier", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
