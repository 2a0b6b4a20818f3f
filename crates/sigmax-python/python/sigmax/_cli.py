"""The console script ``sigmax``: the command of the same name."""

from __future__ import annotations

import sys

from sigmax import _core


def main() -> int:
    """Run the command with the arguments of this process and return its exit code."""
    return _core.main(["sigmax", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
