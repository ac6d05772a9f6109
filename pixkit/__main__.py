"""`python -m pixkit`."""

from pixkit.cli.main import run

run()
