#!/usr/bin/env bash
# The search of the CODEBRIM paper (CVPR 2019, arXiv 1904.08486): 7 layers, 6 operations, 310 epochs.
# Its flags stand, one a line, in src/AEROBI/flags/presets.py; arguments here override them:
#   scripts/AEROBI_macro_search.sh --data_path=... --output_dir=...
# A finished or interrupted run is continued with --noreset_output_dir.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"

. "$root/scripts/environment.sh"
python=$(python_with_package)
exec "$python" -m AEROBI.cli search --recipe=published --reset_output_dir "$@"
