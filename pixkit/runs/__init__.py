"""The run directory: what a build leaves behind, and how it is read and written."""
