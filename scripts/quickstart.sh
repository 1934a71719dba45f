#!/usr/bin/env bash
# From nothing to a searched and trained network, in under ten minutes on two cores: installs into
# .venv, makes the embedded data set, searches, trains the best architecture found, sums up.
# Everything it makes is below quickstart/. Started again, it goes on where it was.
# On your own data: scripts/quickstart.sh --data_path=FOLDER (CODEBRIM layout)
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
install_into_venv ""

work=quickstart
data="$work/data"
for argument in "$@"; do
  case "$argument" in
    --data_path=/*) data=${argument#--data_path=} ;;
    --data_path=*) data="$from/${argument#--data_path=}" ;;
    *) echo "quickstart.sh takes --data_path=FOLDER only, not $argument" >&2; exit 2 ;;
  esac
done
if [ "$data" = "$work/data" ] && [ ! -d "$data" ]; then
  echo "== Making the embedded data set in $data"
  mkdir -p "$work"
  "$PYTHON" -m AEROBI.sample_data --output "$data" --train 800 --val 200 --test 200
fi

common=(--data_path="$data" --cache_dir="$work/cache" --noreset_output_dir
  --img_size=48 --child_out_filters=12 --log_every=25)

echo "== Searching (quickstart/search)"
scripts/AEROBI_macro_search.sh "${common[@]}" --output_dir="$work/search" \
  --num_epochs=50 --child_lr_max=0.05 --child_lr_T_0=50 --child_keep_prob=0.9 \
  --eval_every_epochs=10 --controller_train_every=2 --controller_train_steps=10 \
  --controller_lr=0.01

best=$(cat "$work/search/best_architecture.txt")
echo "== Training $best from scratch (quickstart/final)"
scripts/AEROBI_macro_final.sh "${common[@]}" --output_dir="$work/final" \
  --child_fixed_arc="$best" \
  --num_epochs=20 --child_lr_max=0.03 --child_lr_T_0=20 --eval_every_epochs=2

echo
echo "== Does the controller prefer anything?"
"$PYTHON" scripts/policy_against_random.py "$work/search"

echo
echo "== Summary"
echo "best architecture found   $best"
grep -hE "^Best validation" "$work/final/stdout"
grep -hE "^(exact match|mean )" "$work/final/stdout" | sed 's/^/  test: /'
echo "search                    $work/search (log: stdout, records: metrics.jsonl)"
echo "final training            $work/final"
