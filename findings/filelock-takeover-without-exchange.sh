#!/usr/bin/env bash
# The lease of a holder that is gone is never taken over where a file system cannot exchange two names.
#
# Expected: filelock's SoftFileLease, which is there for file systems without locks, takes over the marker of a dead process
# of this host at once, and one that was not renewed for lease_duration after that time, as its documentation says.
# Seen with filelock 4.3.1 (and with 4.2.1 and every version between): it takes over by renameat2(RENAME_EXCHANGE). Whether that is
# there is asked of the C library and the machine, not of the file system. Where a file system has no such exchange (seen on bindfs and
# ntfs-3g) the call fails, and then nothing happens: acquire() times out, or waits as long as it may, until somebody removes
# the file by hand. filelock 4.1.0, which renamed the marker aside, takes over on the same file system.
#
# Takes a folder on such a file system; without one, makes a bindfs mount (needs bindfs and the right to mount).
set -euo pipefail
folder=$(mktemp -d)
place=${1:-$folder/mount}
cleanup() { fusermount -u "$folder/mount" 2>/dev/null || true; rm -rf "$folder"; }
trap cleanup EXIT
if [ $# = 0 ]; then
    mkdir "$folder/source" "$folder/mount"
    bindfs "$folder/source" "$folder/mount"
fi
cat > "$folder/lease.py" <<'PYTHON'
import os
import sys

import filelock

path, taken = os.path.join(sys.argv[1], "finding.lease"), sys.argv[2] == "taken"
if os.fork() == 0:
    held = filelock.SoftFileLease(path, lease_duration=1.0)
    held.acquire()
    os._exit(0)
os.wait()
try:
    filelock.SoftFileLease(path, lease_duration=1.0).acquire(timeout=5)
    found = True
except filelock.Timeout:
    found = False
if os.path.exists(path):
    os.unlink(path)
words = "taken over from a process that is gone" if found else "not taken over within 5 s, a lease being 1 s"
print(("as before: " if found == taken else "CHANGED:   ") + f"filelock {filelock.__version__}: {words}")
sys.exit(found != taken)
PYTHON
for case in filelock==4.3.1:waits filelock==4.1.0:taken; do
    package=${case%:*}
    python3 -m venv "$folder/venv-$package"
    "$folder/venv-$package/bin/python" -m pip install --quiet --disable-pip-version-check "$package"
    "$folder/venv-$package/bin/python" "$folder/lease.py" "$place" "${case#*:}"
done
# The output seen:
# as before: filelock 4.3.1: not taken over within 5 s, a lease being 1 s
# as before: filelock 4.1.0: taken over from a process that is gone
