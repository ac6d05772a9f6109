#!/usr/bin/env bash
# An ANS coder that has nothing left goes on decoding, and a message of first symbols costs no bits.
#
# Expected: 1000 symbols of probability 1/2 cost about 1000 bits, and decoding more symbols than were encoded is an
# error, as reading past the end of a file is.
# Seen with constriction 0.5.0: the coder starts from the state 0, and encoding the symbol whose interval starts at 0
# leaves that state as it is. So any number of first symbols is the empty stream, of 0 bits, and an empty stream decodes to
# first symbols for ever, without an error; a stream that was cut short decodes to something, too.
# For images that is not rare: a black binary image is a message of first symbols. A codec has to store how many symbols
# there are, and a checksum: neither this coder nor RangeDecoder tells that a stream is cut short.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check constriction==0.5.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import constriction
import numpy as np

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


fair = constriction.stream.model.Categorical(np.array([0.5, 0.5], dtype=np.float32), perfect=False)
coder = constriction.stream.stack.AnsCoder()
coder.encode_reverse(np.zeros(1000, dtype=np.int32), fair)
expect(f"1000 zeros at 1/2 each cost {coder.num_bits()} bits", coder.num_bits() == 0)
coder = constriction.stream.stack.AnsCoder()
coder.encode_reverse(np.ones(1000, dtype=np.int32), fair)
expect(f"1000 ones at 1/2 each cost {coder.num_bits()} bits", 1000 <= coder.num_bits() <= 1064)

more = constriction.stream.stack.AnsCoder(coder.get_compressed()).decode(fair, 1500)
expect("decoding 1500 symbols of a message of 1000 raises nothing", len(more) == 1500)
expect("the first 1000 are the message", bool((more[:1000] == 1).all()))
cut = constriction.stream.stack.AnsCoder(coder.get_compressed()[1:]).decode(fair, 1000)
wrong = int((cut != 1).sum())
expect(f"a stream without its first word decodes without an error, {wrong} of 1000 symbols wrong", wrong > 0)

encoder = constriction.stream.queue.RangeEncoder()
encoder.encode(np.ones(1000, dtype=np.int32), fair)
try:
    found = constriction.stream.queue.RangeDecoder(encoder.get_compressed()).decode(fair, 1500)
    expect("the range decoder goes on as well", len(found) == 1500)
except Exception as error:  # noqa: BLE001
    expect(f"the range decoder goes on as well ({type(error).__name__})", False)
sys.exit(bool(failures))
PYTHON
# The output seen:
# as before: 1000 zeros at 1/2 each cost 0 bits
# as before: 1000 ones at 1/2 each cost 1024 bits
# as before: decoding 1500 symbols of a message of 1000 raises nothing
# as before: the first 1000 are the message
# as before: a stream without its first word decodes without an error, 32 of 1000 symbols wrong
# as before: the range decoder goes on as well
