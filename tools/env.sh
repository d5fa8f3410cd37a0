#!/bin/sh
# Make or refresh the Python environment in .venv from a hash-pinned lock file, with the program in it.
#
#   sh tools/env.sh requirements.txt        what the program needs
#   sh tools/env.sh requirements-dev.txt    that, and what its tests and checks need
#
# Says in one line what to install where the machine lacks something. Registry settings of the machine are inherited.
set -eu
lock=$1
venv=.venv

python=
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed and was not found; install it, e.g.: apt install python3" >&2
    exit 1
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "Python's venv module is missing; install it, e.g.: apt install python3-venv" >&2
        exit 1
    fi
    echo "Making $venv with $("$python" --version) ..." >&2
    "$python" -m venv --clear "$venv"
fi

echo "Installing what $lock pins ..." >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
