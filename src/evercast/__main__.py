"""Lets ``python -m evercast`` do what the program ``evercast`` does."""

from __future__ import annotations

import sys

from evercast.cli import main

if __name__ == "__main__":
    sys.exit(main())
