#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the environment of tools/helm.py (Helm's library needs Python 3.12): tools/helm_setup.sh [VENV]. Prints its python.
# Nothing is done where it is there already. Exit 3: no such Python is found.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-.venv-helm}
say() { printf '%s\n' "$*" >&2; }

# pyenv's versions lie beside its program, wherever the home folder is.
pyenv=${PYENV_ROOT:-$(command -v pyenv | sed 's,/bin/pyenv$,,')}

if ! [ -e "$venv/.ready" ] || [ tools/helm-requirements.txt -nt "$venv/.ready" ]; then
  python=
  for candidate in "${HELM_PYTHON:-}" python3 python3.14 python3.13 python3.12 "$pyenv"/versions/3.1[234]*/bin/python3; do
    # A shim of pyenv may be found and refuse to run.
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    say "Helm's library needs Python 3.12 or newer, and none was found. Install one, or say: HELM_PYTHON=/path/to/python3.12"
    exit 3
  fi
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/helm-requirements.txt >&2
  touch "$venv/.ready"
fi
printf '%s\n' "$venv/bin/python"
