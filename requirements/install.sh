#!/usr/bin/env bash
# Make the virtual environment and install the locked packages and evercast itself (editable).
# Usage: install.sh PYTHON VENV LOCKFILE
set -euo pipefail
python=$1 venv=$2 lock=$3
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "evercast needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1). Name another one: make PYTHON=python3.12 ..." >&2
  exit 6
fi
if [ ! -x "$venv/bin/pip" ]; then
  "$python" -m venv "$venv" || { echo "cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 6; }
fi
echo "installing the locked packages of $lock into $venv ..."
"$venv/bin/python" -m pip install --quiet --require-hashes --requirement "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
