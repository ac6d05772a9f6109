#!/usr/bin/env bash
# Once zfpy is installed, zarr cannot be imported.
#
# Expected: pip install zarr zfpy, then `import zarr` works, and numcodecs.zfpy.ZFPY is there; a version of an optional package that numcodecs cannot use leaves that one codec out.
# Seen with numcodecs 0.16.6, zarr 3.1.6 and zfpy 1.0.1.post0, which pip chooses without a bound: numcodecs makes integers of the parts of zfpy's version when it is imported, and
# "post0" is none: ValueError: invalid literal for int() with base 10: 'post0', from `import zarr` or `import numcodecs`, also where ZFPY is never used. A development
# version of numpy ("2.5.0.dev0") would do the same. zfpy 1.0.1 is well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
imported() {
    local last
    last=$("$folder/venv/bin/python" -W ignore -c 'import numcodecs, zarr; print("imported; the ZFPY codec:", "zfpy" in numcodecs.registry.codec_registry)' 2>&1 | tail -1) || true
    echo "$1: $last"
    [ "$last" = "$2" ] || { echo "CHANGED: it was: $2"; changed=1; }
}
changed=0
pip numpy==2.4.6 numcodecs==0.16.6 zarr==3.1.6
imported "zarr 3.1.6, numcodecs 0.16.6" "imported; the ZFPY codec: False"
pip zfpy==1.0.1.post0
imported "with zfpy 1.0.1.post0" "ValueError: invalid literal for int() with base 10: 'post0'"
pip zfpy==1.0.1
imported "with zfpy 1.0.1" "imported; the ZFPY codec: True"
exit "$changed"
# The output seen:
# zarr 3.1.6, numcodecs 0.16.6: imported; the ZFPY codec: False
# with zfpy 1.0.1.post0: ValueError: invalid literal for int() with base 10: 'post0'
# with zfpy 1.0.1: imported; the ZFPY codec: True
