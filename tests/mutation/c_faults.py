"""Faults in C, by tokens: signs, comparisons, constants, indices, dropped updates.

Macros that span lines are text like any other, so the rows of elementwise.h are mutated too. A fault that the compiler
refuses, or makes the same code of, is none.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from planted import Place

TOKEN = re.compile(
    r'(?P<skip>/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|\#\s*(?:include|if\w*|else|endif)[^\n]*)'
    r"|(?P<number>(?:0x[0-9a-fA-F]+|\d+\.?\d*(?:[eE][-+]?\d+)?)[uUlLfF]*)"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<mark><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#|\S)",
    re.DOTALL,
)
TYPES = {
    *("real", "vec", "void", "double", "float", "int", "char", "const", "restrict", "size_t", "return", "sizeof"),
    *("i64", "i32", "uint8_t", "int32_t", "uint32_t", "int64_t", "uint64_t"),
    *("Program", "Op", "Buffer", "Instr", "Rows", "Tap"),
}
"""Words before which `*` and `-` have one operand, and `[` is a declaration's."""
COMPARISONS = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
ARITHMETIC = {"+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "+=": ("-=", "="), "-=": ("+=",), "*=": ("/=",)}
ARITHMETIC |= {"/=": ("*=",), "&&": ("||",), "||": ("&&",)}
FLAGS = ("-O1", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-march=native")


def tokens(text):
    """(what it is, its text, start, end) of each token, in bytes."""
    assert text.isascii()
    return [(m.lastgroup, m[0], m.start(), m.end()) for m in TOKEN.finditer(text) if m.lastgroup != "skip"]


def places(text):
    """Every place of a file, in the order of its text; its scope is the operation that it belongs to, such as GLU."""
    found, all_tokens, opened = [], tokens(text), []
    for number, (what, word, start, end) in enumerate(all_tokens):
        before = all_tokens[number - 1][:2] if number else ("mark", "")
        value = (before[0] in ("number", "word") and before[1] not in TYPES) or before[1] in (")", "]")
        if what == "number":
            found.append(Place("constant", start, end, constants(word), ""))
        elif word in COMPARISONS:
            found.append(Place("comparison", start, end, COMPARISONS[word], ""))
        elif word in ARITHMETIC and value:
            found.append(Place("sign", start, end, ARITHMETIC[word], ""))
        elif word == "-":
            found.append(Place("sign", start, end, (" ",), ""))
        elif word == "[":
            declared = number > 1 and all_tokens[number - 2][1] in TYPES
            opened.append(None if declared else end)
        elif word == "]" and (inside := opened.pop()):
            index = text[inside:start]
            found.append(Place("index", inside, start, (f"{index} + 1", f"{index} - 1"), ""))
    return [place._replace(scope=operation(text, place.start)) for place in sorted([*found, *updates(text)])]


def operation(text, start):
    """What the last case of the function, or row of the table, before a place is for; empty if there is none."""
    line = text.find("\n", start)
    before = text[max(text.rfind("\n}", 0, start), 0) : line if line > 0 else len(text)]
    named = re.findall(r"\b(?:case |ROW\()([A-Z][A-Z_]+)\b", before)
    return named[-1] if named else ""


def constants(word):
    if re.fullmatch(r"\d+", word):
        return tuple(str(other) for other in (int(word) + 1, int(word) - 1) if other >= 0)
    return (f"({word} * 2)", f"({word} / 2)") if "x" not in word else (f"({word} + 1)",)


def updates(text):
    """Statements that change something that is there already."""
    for found in re.finditer(r"(?<=[{};)] )[\w>.\[\]-]+ [-+*/]?= [^;{}]*;", text):
        yield Place("statement", found.start(), found.end(), (";",), "")


def codes(folder):
    """Yield what the compiler makes of each variant of the kernel whose sources lie in a folder; None if it refuses."""
    for variant in (["-DREAL=float"], ["-DREAL=double"], ["-DREAL=float", "-DSTRICT"]):
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / "kernel.s"
            command = [compiler(), *FLAGS, *variant, "-S", "-g0", str(folder / "kernel.c"), "-o", str(made)]
            refused = subprocess.run(command, capture_output=True, check=False).returncode
            yield None if refused else made.read_text()


def compiler():
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def quick(folder):
    """Write a compiler into a folder that optimises little, whatever it is told: a third of the time.

    Returns:
        what CC is set to.
    """
    script = folder / "cc"
    script.write_text(f'#!/bin/sh\nexec {compiler()} "$@" {FLAGS[0]}\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)
