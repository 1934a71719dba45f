#!/usr/bin/env bash
# Installs the project with what its tests need into .venv, then runs the whole suite.
# Arguments go to pytest: scripts/test.sh -k controller
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
install_into_venv "[test]"
"$PYTHON" -m ruff check .
# A file of tests runs in one process, so that what its tests share is made once.
exec "$PYTHON" -m pytest -n 3 --dist worksteal "$@"
