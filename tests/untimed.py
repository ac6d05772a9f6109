"""What two runs of one recipe have in common on one machine."""

TIMED = ("seconds", "images_per_second")
"""Fields of metrics.jsonl that differ from one run to the next; everything else is the same on the same machine."""


def untimed(rows):
    """Rows of metrics.jsonl without them."""
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]
