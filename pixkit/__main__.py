"""`python -m pixkit`, and the script `pixkit`."""

import sys


def run() -> None:
    """Run the command line; Ctrl-C during the imports ends it as quietly as later."""
    try:
        from pixkit.cli.main import run as begin
    except KeyboardInterrupt:
        sys.exit(130)
    begin()


if __name__ == "__main__":
    run()
