#!/usr/bin/env bash
# Installs the project with what its tests need into .venv, then runs the whole suite.
# Arguments go to pytest: scripts/test.sh -k controller
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
install_into_venv "[test]"
"$PYTHON" -m ruff check .
# One process more than there are cores, as tests also wait; those of a file stay together, so that
# what they share is made once, until a process has nothing else to do.
processes=$("$PYTHON" -c 'import os; print(min(4, os.cpu_count() + 1))')
exec "$PYTHON" -m pytest -n "$processes" --dist worksteal "$@"
