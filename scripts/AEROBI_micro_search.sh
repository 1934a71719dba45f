#!/usr/bin/env bash
# The search for cells of ENAS (arXiv 1802.03268, section 3.2, on CIFAR-10), made smaller for patches
# of 64 pixels and a CPU: 3 + 2 layers of 12 filters for 6 + 2 of 20, batches of 32 for 160 and a
# learning rate that goes with them.
# Its flags stand, one a line, in src/AEROBI/flags/presets.py; arguments here override them:
#   scripts/AEROBI_micro_search.sh --data_path=... --output_dir=...
# A finished or interrupted run is continued with --noreset_output_dir.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"

. "$root/scripts/environment.sh"
python=$(python_with_package)
exec "$python" -m AEROBI.cli search --recipe=published --search_for=micro --reset_output_dir "$@"
