"""The command line; each command is a module of its own name with a click command called `command`."""
