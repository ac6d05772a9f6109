"""What a run came to: a line of JSON a fault, and the text made of them."""

import collections
import json

from trials import Verdicts

NOTICED = (Verdicts.caught, Verdicts.crashed, Verdicts.late)
COUNTED = (*NOTICED, Verdicts.survived)
"""A fault that the compiler refuses, or makes the same code of, is not counted."""


def line(fault, verdict, said, choice):
    where = {"key": fault.key, "path": fault.path, "line": fault.line, "kind": fault.place.kind}
    ran = {"tests": sum(map(len, choice.rounds)), "left": len(choice.left)}
    return {**where, "verdict": verdict, **ran, "by": said.get("test"), "said": said.get("said"), "diff": fault.diff}


def short(line):
    by = f" by {line['by']}" if line["by"] else f" after {line['tests']} tests, {line['left']} left out"
    return f"{line['verdict']:10} {line['path']}:{line['line']} ({line['kind']}){by}"


def read(path):
    """Results by the faults' keys; of one that was tried twice, the last."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return {line["key"]: line for line in map(json.loads, lines)}


def text(lines, drawn):
    """Counts of each language and each file, and the survivors' diffs."""
    said = [f"{len(lines)} of {drawn} faults tried"]
    for name, ending in (("Python", True), ("C", False)):
        mine = [line for line in lines if line["path"].endswith(".py") == ending]
        said.append(f"{name}: {summary(mine)}")
    files = collections.defaultdict(list)
    for line in lines:
        files[line["path"]].append(line)
    said += [f"  {path}: {summary(mine)}" for path, mine in sorted(files.items())]
    survivors = [line for line in lines if line["verdict"] == Verdicts.survived]
    return "\n".join([*said, "", *(f"{short(line)}\n{line['diff']}\n" for line in survivors)])


def summary(lines):
    counts = collections.Counter(line["verdict"] for line in lines)
    counted = sum(counts[verdict] for verdict in COUNTED)
    noticed = sum(counts[verdict] for verdict in NOTICED)
    share = f"{noticed} of {counted} noticed ({noticed / counted:.1%})" if counted else "nothing to notice"
    return f"{share}; " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in (*COUNTED, "equivalent", "broken"))
