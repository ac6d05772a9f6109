"""Asking another process, which may be another build's, to measure something."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LONGEST = 45.0
"""Seconds that one answer may take."""


class Worker:
    """`speed_worker.py` under some Python; begun anew where it died or took too long."""

    def __init__(self, python, log):
        self.python, self.process, self.log = python, None, log

    def ask(self, request, end):
        """What it answers, or {"error": why there is no answer}."""
        limit = min(LONGEST, end - time.monotonic())
        if limit <= 0:
            return {"error": "not begun: time was up"}
        if self.process is None:
            command = [self.python, str(HERE / "speed_worker.py")]
            # What is imported here from a source tree, the other build is not to import.
            env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            env = dict(os.environ) if self.python == sys.executable else env
            with open(self.log, "a", encoding="utf-8") as errors:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "env": env}
                self.process = subprocess.Popen(command, **pipes, text=True)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], limit)
            line = self.process.stdout.readline() if ready else None
        except OSError:
            line = ""
        if line:
            return json.loads(line)
        self.close()
        why = f"no answer within {limit:.0f} s" if line is None else "the process died"
        return {"error": f"{why} (see {self.log.name})"}

    def close(self):
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None
