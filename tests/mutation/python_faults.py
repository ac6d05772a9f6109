"""Faults in Python: the places of a file where one may be planted, found by its syntax tree and written into its text.

Nothing else of the text changes, so that tests which read sources see what they would see of such a fault.
"""

import ast
import itertools
import re

from planted import Place

COMPARISONS = {
    **{ast.Lt: ("<=", ">="), ast.LtE: ("<", ">"), ast.Gt: (">=", "<="), ast.GtE: (">", "<")},
    **{ast.Eq: ("!=",), ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",)},
    **{ast.In: ("not in",), ast.NotIn: ("in",)},
}
ARITHMETIC = {
    **{ast.Add: ("-",), ast.Sub: ("+",), ast.Mult: ("//", "+"), ast.Div: ("*",), ast.FloorDiv: ("*", "%")},
    **{ast.Mod: ("//",), ast.Pow: ("*",), ast.BitAnd: ("|",), ast.BitOr: ("&",)},
}
SYMBOLS = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**"},
    **{ast.BitAnd: "&", ast.BitOr: "|", ast.And: "and", ast.Or: "or"},
}
PAIRS = "min max|any all|amin amax|argmin argmax|minimum maximum|floor ceil|zeros ones|zeros_like ones_like|tril triu"
OTHER = {one: two for pair in PAIRS.split("|") for one, two in (pair.split(), pair.split()[::-1])}
SAID = {"where", "found", "expected", "hint", "stacklevel"}
"""Keywords of messages: their words are tested where a user needs them, and are no arithmetic."""
FIXED = {"isinstance", "issubclass", "getattr", "hasattr", "setattr", "cast", "TypeVar"}
"""Calls whose arguments, exchanged, raise at once."""
EITHER = {
    *("min", "max", "minimum", "maximum", "equal", "gcd", "samefile", "compare_digest", "suppress"),
    *("transpose", "swapaxes"),
}
"""Calls whose arguments, exchanged, mean the same."""


class Finder(ast.NodeVisitor):
    """Collects the places of one file."""

    def __init__(self, text):
        self.text = text
        self.places = []
        self._scope = []
        self._starts = [0]
        for line in text.encode().splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.visit(ast.parse(text))

    def _add(self, kind, start, end, *replacements):
        self.places.append(Place(kind, start, end, tuple(replacements), ".".join(self._scope)))

    def _span(self, node):
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _source(self, node):
        start, end = self._span(node)
        return self.text.encode()[start:end].decode()

    def _between(self, left, right, symbol):
        """The span of an operator between two operands, which may stand in parentheses and among comments."""
        start, end = self._span(left)[1], self._span(right)[0]
        gap = re.sub(r"#.*", lambda found: " " * len(found[0].encode()), self.text.encode()[start:end].decode())
        found = re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)" if symbol[0].isalpha() else re.escape(symbol), gap)
        return (start + found.start(), start + found.end()) if found else None

    # What is not mutated: annotations, docstrings, imports, and what a type checker alone reads.

    def visit_If(self, node):
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if not node.orelse:
            self._drop(node)
        self._condition(node.test)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self._scope.append(node.name)
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)
        self._scope.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        self._scope.append(node.name)
        for part in (*node.keywords, *node.body):
            self.visit(part)
        self._scope.pop()

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)

    def visit_Assign(self, node):
        if ast.unparse(node.targets[0]) != "__all__":
            if isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
                self._drop(node)
            self.visit(node.value)
            for target in node.targets:
                self.visit(target)

    def visit_JoinedStr(self, node):
        """Python 3.11 does not say where its parts stand."""

    # Statements

    def _drop(self, node):
        self._add("statement", *self._span(node), "pass")

    def visit_Expr(self, node):
        if not isinstance(node.value, (ast.Constant, ast.Yield, ast.YieldFrom)):
            self._drop(node)
        self.generic_visit(node)

    def visit_Return(self, node):
        if node.value:
            self._drop(node)
        self.generic_visit(node)

    def _statement(self, node):
        self._drop(node)
        self.generic_visit(node)

    visit_Raise = visit_Delete = visit_Continue = visit_Break = _statement

    def visit_AugAssign(self, node):
        self._drop(node)
        if type(node.op) in ARITHMETIC and not worded(node.value):
            place = self._between(node.target, node.value, SYMBOLS[type(node.op)])
            self._add("arithmetic", *place, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    # Conditions

    def _condition(self, test):
        if not isinstance(test, ast.Compare) or len(test.ops) > 1:
            self._add("condition", *self._span(test), f"(not ({self._source(test)}))")

    def _conditional(self, node):
        self._condition(node.test)
        self.generic_visit(node)

    visit_IfExp = visit_Assert = _conditional

    def visit_comprehension(self, node):
        for test in node.ifs:
            self._add("condition", *self._span(test), "True")
        self.generic_visit(node)

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for left, op, right in zip(operands, node.ops, operands[1:], strict=False):
            place = self._between(left, right, symbol(op))
            if place:
                self._add("comparison", *place, *COMPARISONS[type(op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        word = SYMBOLS[type(node.op)]
        for left, right in itertools.pairwise(node.values):
            if place := self._between(left, right, word):
                self._add("choice", *place, "or" if word == "and" else "and")
        self.generic_visit(node)

    # Expressions

    def visit_BinOp(self, node):
        mutable = type(node.op) in ARITHMETIC and not worded(node.left) and not worded(node.right)
        if mutable and (place := self._between(node.left, node.right, SYMBOLS[type(node.op)])):
            self._add("arithmetic", *place, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        start, end = self._span(node)
        if isinstance(node.op, ast.USub):
            self._add("arithmetic", start, end, f"(+{self._source(node.operand)})")
        if isinstance(node.op, ast.Not):
            self._add("condition", start, end, f"bool({self._source(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node):
        value, place = node.value, self._span(node)
        if isinstance(value, bool):
            self._add("constant", *place, str(not value))
        elif isinstance(value, int):
            self._add("constant", *place, *(str(other) for other in (value + 1, value - 1) if other >= 0))
        elif isinstance(value, float):
            self._add("constant", *place, repr(value * 2 if value else 1.0), repr(value / 2 if value else 0.5))

    def _off(self, node):
        if node is not None and not isinstance(node, (ast.Constant, ast.Slice, ast.Tuple, ast.UnaryOp, ast.Starred)):
            source = self._source(node)
            self._add("off by one", *self._span(node), f"(({source}) + 1)", f"(({source}) - 1)")

    def visit_Slice(self, node):
        self._off(node.lower)
        self._off(node.upper)
        self.generic_visit(node)

    def visit_Call(self, node):
        name = ast.unparse(node.func).rpartition(".")[2]
        if name == "range":
            for argument in node.args[:2]:
                self._off(argument)
        if name in OTHER:
            end = self._span(node.func)[1]
            self._add("choice", end - len(name), end, OTHER[name])
        if name not in FIXED | EITHER:
            self._swaps(node.args)
        self._swaps([keyword.value for keyword in node.keywords if keyword.arg and keyword.arg not in SAID])
        self.visit(node.func)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg != "stacklevel" and (name, keyword.arg) != ("zip", "strict"):  # an assertion that holds
                self.visit(keyword.value)

    def _swaps(self, arguments):
        for one, two in itertools.pairwise(arguments):
            if ast.unparse(one) != ast.unparse(two) and not {ast.Starred, ast.GeneratorExp} & {type(one), type(two)}:
                (start, middle), (second, end) = self._span(one), self._span(two)
                between = self.text.encode()[middle:second].decode()
                self._add("arguments", start, end, f"{self._source(two)}{between}{self._source(one)}")


def worded(node):
    """Whether an operand is text or a list, which an arithmetic fault turns into a TypeError."""
    return isinstance(node, (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple)) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes, type(None)))
    )


def symbol(op):
    return ast.unparse(ast.Compare(ast.Name("a"), [op], [ast.Name("b")]))[2:-2]


def places(text):
    """Every place of a file, in the order of its text."""
    return sorted(Finder(text).places)


def meaning(text):
    """What two texts have in common that do the same: the syntax tree; None if there is none."""
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:
        return None
