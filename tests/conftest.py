"""One thread a process, before torch is imported: tiny tensors gain nothing from more, and lose much where cores are shared."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
