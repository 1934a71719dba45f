#!/usr/bin/env bash
# Final training of the cells that ENAS found (arXiv 1802.03268, section 3.2, on CIFAR-10), made
# smaller for patches of 64 pixels and a CPU: 6 + 2 layers of 20 filters for 15 + 2 of 36, batches of
# 32 for 144, 150 epochs for 630. --child_fixed_arc names other cells.
# Its flags stand, one a line, in src/AEROBI/flags/presets.py; arguments here override them:
#   scripts/AEROBI_micro_final.sh --data_path=... --output_dir=...
# A finished or interrupted run is continued with --noreset_output_dir.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"

. "$root/scripts/environment.sh"
python=$(python_with_package)
exec "$python" -m AEROBI.cli final --recipe=published --search_for=micro --reset_output_dir "$@"
