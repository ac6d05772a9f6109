"""A process that has torch and pixkit in memory, but no plugin, and forks processes that run Python on request.

It reads requests from stdin, a JSON object a line, and answers each with the exit code of the process once that has
ended: {"code", "arguments", "folder", "path", "variables", "out", "err"} are what to run with what arguments, in which
folder, what comes first on the path, all of the environment, and the files that stdout and stderr go to.
"""

import importlib
import json
import os
import sys
import traceback


def run(request):
    """In the forked process: be `python -c CODE ARGUMENTS...`."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv, sys.path[:0] = ["-c", *request["arguments"]], request["path"]
    importlib.invalidate_caches()
    exit_code = 1
    try:
        exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
        exit_code = 0
    except SystemExit as error:
        exit_code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)  # taking torch down takes longer than most of these


def serve():
    import torch

    import pixkit.cli.main
    import pixkit.testing
    import pixkit.training.build  # noqa: F401

    torch.set_num_threads(1)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"
    assert "pixkit_plugins" not in sys.modules, "plugins are what is loaded on request"
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
