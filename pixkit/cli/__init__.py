"""The command line; each command is a module with a click command called `command`."""
