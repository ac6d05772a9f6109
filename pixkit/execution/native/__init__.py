"""The native executor: the plan, packed into tables, run by a small C program compiled on first use."""
