"""Which sub-pixels are drawn at which step, and the masks that follow from that."""
