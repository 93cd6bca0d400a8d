#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment: tools/setup.sh PYTHON VENV. Says in a sentence what is missing.
set -eu
python=$1 venv=$2
say() { printf '%s\n' "$*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "accelchain needs Python 3.11 or newer, and '$python' is not. Install one, or say: make PYTHON=/path/to/python3.11"
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing python3-venv ..."
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
  else
    say "Python's venv module is missing. On Debian or Ubuntu: sudo apt-get install python3-venv"
    exit 1
  fi
fi
if [ "$(uname -s)" != Linux ]; then
  say "accelchain runs on Linux (this is $(uname -s))."
  exit 1
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
say "Installing the pinned packages into $venv (a minute or two the first time) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
# Type checkers don't follow the import hook of an editable installation; they do follow paths in a .pth file.
"$venv/bin/python" -c 'import pathlib, sysconfig
folder = pathlib.Path(sysconfig.get_path("purelib"))
(folder / "accelchain-roots.pth").write_text("".join(f"{pathlib.Path(root).resolve()}\n" for root in ("plugin", "operators", "runtime")))'
