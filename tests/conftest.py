"""One thread a process, set before torch is imported: tiny tensors gain nothing from more, and shared cores suffer."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
