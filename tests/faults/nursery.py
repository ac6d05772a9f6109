"""A process that has torch in memory and forks commands of pixkit on request: starting one takes no time.

It reads requests from stdin, a JSON object a line, and answers each with a line:
- {"run": [ARGUMENTS], "folder": F, "name": N, "die_at": K or null, "fail": {...} or null, "close": [...],
  "unread": [...], "lease": L, "limit": S}: start `pixkit ARGUMENTS` in the folder F, with stdout and stderr in N.out
  and N.err there; answers the process number. With die_at the process kills itself before its K-th change of the file
  system, and N.changes counts the changes. With fail, the arguments of `disk_watch` (see disk.c) but for the last,
  calls of the file system fail, and N.calls lists them. Standard streams of the numbers in `close` are closed, those in
  `unread` are pipes that nobody reads. With a number L the process finds no locks of the system's, and its leases last
  that many seconds. After S seconds, if that is not 0, it is ended.
- {"wait": PID}: answers the exit code once the process has ended, -9 if it was killed.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

SMALL = [
    *("model.backbone.width=4", "model.backbone.layers=1", "data.limit_train=8", "data.limit_test=2"),
    *("train.steps=1", "train.batch_size=2", "sample.count=1"),
]
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}


def changes(event, arguments):
    """Whether an audited event (see sys.addaudithook) changes the file system, or may."""
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES


def die_at(number, tally):
    """Count changes of the file system; kill this process before the one of that number, from 1."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        if changes(event, arguments):
            count += 1
            os.pwrite(tally, b"%9d" % count, 0)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def fail(under, kinds, first, last, error, calls):
    """Let calls of the file system fail that concern the folder `under`."""
    words = f" {' '.join(kinds)} ".encode()
    numbers = (ctypes.c_long(first), ctypes.c_long(last), error, calls)
    ctypes.CDLL(os.environ["LD_PRELOAD"]).disk_watch(os.fsencode(under), words, *numbers)


def redirect(close, unread):
    """Give standard streams away as Python finds them when it starts like that: a closed one is None."""
    reading, writing = os.pipe()
    for descriptor in unread:
        os.dup2(writing, descriptor)
    os.close(reading)
    os.close(writing)
    for descriptor in close:
        os.close(descriptor)
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], None)


def run(request):
    """In the forked process: be `pixkit`."""
    from pixkit.cli.main import main

    os.chdir(request["folder"])
    signal.alarm(request["limit"])
    for descriptor, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{request['name']}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    redirect(request["close"], request["unread"])
    if request["lease"] is not None:
        from pixkit import locks

        locks.fcntl, locks.LEASE = None, request["lease"]
    if request["die_at"] is not None:
        die_at(request["die_at"], os.open(f"{request['name']}.changes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    if request["fail"] is not None:
        fail(**request["fail"], calls=os.open(f"{request['name']}.calls", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    code = 1
    try:
        code = main(request["run"])
    except SystemExit as error:
        code = error.code
    finally:
        # Not sys.exit: taking torch down takes longer than most of these commands.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)


def serve():
    import torch

    torch.set_num_threads(1)
    from pixkit.cli.main import main

    # All that is loaded or made at first use, whatever the command: once, and not in every process that is forked.
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        made = f"{folder}/run"
        assert main(["build", "digits-pixelcnn", *SMALL, "-o", made, "-q"]) == 0
        for command in (["show", "run", made], ["sample", made, "-o", f"{folder}/1.npz"], ["verify", made]):
            assert main(command) == 0
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"
    gc.collect()
    gc.freeze()  # its collections would touch, and so copy, every page that the process has
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            run(request)
        print(pid, flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
    serve()
