"""Faults drawn by a seed from a tree, each kind as often as the others and no place twice."""

import random
from pathlib import Path

import c_faults
import python_faults
from planted import Fault

KERNELS = Path("pixkit/execution/native")


def language(path):
    return python_faults if Path(path).suffix == ".py" else c_faults


def python_files(root):
    return sorted(p for top in ("pixkit", "plugins") for p in (root / top).rglob("*.py"))


def c_files(root):
    return sorted((root / KERNELS).glob("*.[ch]"))


def draw(root, seed, count, files, only=(), among=()):
    """Yield up to `count` faults, the same for the same seed and files; of C those that the compiler takes come later.

    Args:
        root: the top of a tree.
        seed: any whole number.
        count: how many.
        files: of them.
        only: if it names any, beginnings of paths to which the faults are confined.
        among: if it names any, the kinds to which they are.
    """
    choose = random.Random(f"{seed}")
    kinds = {}
    for path in files:
        name = path.relative_to(root).as_posix()
        if not only or any(name.startswith(start) for start in only):
            text = path.read_text(encoding="utf-8")
            for place in language(name).places(text):
                if not among or place.kind in among:
                    kinds.setdefault(place.kind, []).append((name, place, text))
    while kinds and count > 0:
        kind = choose.choice(sorted(kinds))
        name, place, text = kinds[kind].pop(choose.randrange(len(kinds[kind])))
        if not kinds[kind]:
            del kinds[kind]
        fault = Fault(name, place, choose.choice(place.replacements), text)
        if differs(fault):
            count -= 1
            yield fault


def differs(fault):
    """Whether Python takes it, and it says something else. What the compiler makes of C is seen when it is tried."""
    if language(fault.path) is c_faults:
        return True
    meaning = python_faults.meaning(fault.mutated)
    return meaning not in (None, python_faults.meaning(fault.text))
