"""`python -m apps.simulator`: the simulator without Django, for tests and benchmarks that want a quick start."""

import argparse
import sys

from apps.simulator import cli


def main() -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="simulator", description="A simulated exchange on loopback.")
    cli.add_arguments(parser)
    options = parser.parse_args()
    try:
        cli.run(options, _say)
    except (ValueError, OSError) as refused:
        sys.stderr.write(f"simulator: {refused}\n")
        return 2
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
