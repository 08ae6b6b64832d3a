#!/usr/bin/env python
"""The door for commands: find or start the servers a command needs, then let Django run it."""

import os
import sys


def main() -> int:
    """Run one management command and return its exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    from apps.ops import entry

    return entry.run(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
