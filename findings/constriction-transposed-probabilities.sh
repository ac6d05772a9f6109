#!/usr/bin/env bash
# An entropy coder that is given a transposed table of probabilities codes with other distributions: the rate is five times as high, and a decoder with a copy of the table gets noise.
#
# Expected: AnsCoder.encode_reverse(symbols, Categorical(), table) codes symbol n by table[n], whatever the table's order in memory; or a table that is
# not contiguous is refused, as one with every second column is ("The given array is not contiguous or is misaligned").
# Seen with constriction 0.5.0, in AnsCoder and RangeEncoder, perfect=True and False, float32 and float64: a table in Fortran's order passes for contiguous, and is read as it lies in memory, in rows
# of the right length. Softmax over the first axis and .T makes one, and so does torch, as probabilities of [N, K, H, W] turned to [H * W, K] by
# movedim, flatten and T are strided. If both ends do the same, only the rate tells; if one of them has a copy (a loaded file, another batch size, another library), the message decodes to
# other symbols (RangeDecoder sometimes calls the data invalid). numpy.ascontiguousarray first. Symbols, means and deviations, which have one axis, are right or refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check constriction==0.5.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import constriction
import numpy as np

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def by_ans(symbols, model, table, decoded):
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols, model, table)
    bits = coder.num_bits()
    return bits, constriction.stream.stack.AnsCoder(coder.get_compressed()).decode(model, decoded)


def by_range(symbols, model, table, decoded):
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(symbols, model, table)
    return coder.num_bits(), constriction.stream.queue.RangeDecoder(coder.get_compressed()).decode(model, decoded)


rng = np.random.default_rng(0)
logits = 3 * rng.standard_normal((16, 4096))
columns = np.exp(logits) / np.exp(logits).sum(0)
symbols = (columns.cumsum(0) < rng.random(4096)).sum(0).clip(0, 15).astype(np.int32)
ideal = -np.log2(columns[symbols, np.arange(4096)]).sum()
print(f"constriction: 4096 symbols of 16, {ideal:.0f} bits by their own distributions")
for kind in (np.float32, np.float64):
    transposed = columns.astype(kind).T
    table = np.ascontiguousarray(transposed)
    assert np.array_equal(table, transposed)
    for perfect in (False, True):
        model = constriction.stream.model.Categorical(perfect=perfect)
        for name, way in (("ANS", by_ans), ("range", by_range)):
            text = f"{name}, {kind.__name__}, perfect={perfect}"
            bits, found = way(symbols, model, table, table)
            expect(f"{text}, contiguous: {bits} bits, {(found != symbols).mean():.0%} wrong", bits < ideal + 100 and (found == symbols).all())
            bits, found = way(symbols, model, transposed, transposed)
            expect(f"{text}, transposed: {bits} bits, {(found != symbols).mean():.0%} wrong", bits > 3 * ideal and (found == symbols).all())
            if way is by_ans:
                _, found = way(symbols, model, transposed, table)
                wrong = (found != symbols).mean()
                expect(f"{text}, one end transposed: {wrong:.0%} wrong", wrong > 0.3)
wide = np.zeros((4096, 32), np.float32)
wide[:, ::2] = columns.T
try:
    by_ans(symbols, constriction.stream.model.Categorical(perfect=False), wide[:, ::2], wide[:, ::2])
    expect("every second column is refused", False)
except TypeError as error:
    expect(f"every second column is refused: {error}", "not contiguous" in str(error))
sys.exit(bool(failures))
PYTHON
# The output seen:
# constriction: 4096 symbols of 16, 6790 bits by their own distributions
# as before: ANS, float32, perfect=False, contiguous: 6816 bits, 0% wrong
# as before: ANS, float32, perfect=False, transposed: 33152 bits, 0% wrong
# as before: ANS, float32, perfect=False, one end transposed: 53% wrong
# as before: range, float32, perfect=False, contiguous: 6816 bits, 0% wrong
# as before: range, float32, perfect=False, transposed: 33120 bits, 0% wrong
# as before: ANS, float32, perfect=True, contiguous: 6816 bits, 0% wrong
# as before: ANS, float32, perfect=True, transposed: 33152 bits, 0% wrong
# as before: ANS, float32, perfect=True, one end transposed: 52% wrong
# as before: range, float32, perfect=True, contiguous: 6816 bits, 0% wrong
# as before: range, float32, perfect=True, transposed: 33152 bits, 0% wrong
# as before: ANS, float64, perfect=False, contiguous: 6816 bits, 0% wrong
# as before: ANS, float64, perfect=False, transposed: 33152 bits, 0% wrong
# as before: ANS, float64, perfect=False, one end transposed: 52% wrong
# as before: range, float64, perfect=False, contiguous: 6816 bits, 0% wrong
# as before: range, float64, perfect=False, transposed: 33120 bits, 0% wrong
# as before: ANS, float64, perfect=True, contiguous: 6816 bits, 0% wrong
# as before: ANS, float64, perfect=True, transposed: 33152 bits, 0% wrong
# as before: ANS, float64, perfect=True, one end transposed: 52% wrong
# as before: range, float64, perfect=True, contiguous: 6816 bits, 0% wrong
# as before: range, float64, perfect=True, transposed: 33152 bits, 0% wrong
# as before: every second column is refused: The given array is not contiguous or is misaligned.
