#!/usr/bin/env bash
# From nothing to a trained network with its report, in about ten minutes on two cores: installs
# into .venv, makes the embedded data set, searches, chooses, trains what was chosen and, for
# comparison, a random architecture. Everything it makes is below quickstart/. Started again, it
# goes on where it was.
# On your own data: scripts/quickstart.sh --data_path=DATA (a folder or a CSV file)
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
install_into_venv "[viz]"

work=quickstart
data="$work/data"
for argument in "$@"; do
  case "$argument" in
    --data_path=/*) data=${argument#--data_path=} ;;
    --data_path=*) data="$from/${argument#--data_path=}" ;;
    *) echo "quickstart.sh takes --data_path=DATA only, not $argument" >&2; exit 2 ;;
  esac
done

aerobi() {
  "$PYTHON" -m AEROBI.cli "$@"
}

if [ "$data" = "$work/data" ] && [ ! -d "$data" ]; then
  echo "== Making the embedded data set in $data"
  mkdir -p "$work"
  aerobi sample-data --output "$data" --train 800 --val 200 --test 200
fi

size=(--data_path="$data" --cache_dir="$work/cache" --img_size=48 --child_out_filters=12
  --log_every=25)
budget=(--num_epochs=20 --child_lr_max=0.03 --child_lr_T_0=20 --eval_every_epochs=2)

echo "== Searching ($work/search)"
aerobi search "${size[@]}" --output_dir="$work/search" \
  --num_epochs=50 --child_lr_max=0.05 --child_lr_T_0=50 --child_keep_prob=0.9 \
  --eval_every_epochs=10 --controller_train_every=2 --controller_train_steps=10 \
  --controller_lr=0.01

echo "== Choosing ($work/search/architectures.json)"
aerobi select "$work/search" --top 5
aerobi select "$work/search" --policy random --samples 1 --output "$work/random.json" > /dev/null

echo "== Training the chosen one ($work/final) and a random one ($work/random)"
aerobi final "${size[@]}" "${budget[@]}" --output_dir="$work/final" \
  --child_fixed_arc="$work/search/architectures.json#best"
aerobi final "${size[@]}" "${budget[@]}" --output_dir="$work/random" \
  --child_fixed_arc="$work/random.json#best"

echo "== Drawing"
aerobi report "$work/search"
aerobi report "$work/final"
aerobi draw "$work/search" --formats mp4 --output "$work/search.mp4"
aerobi evaluate "$work/final" > "$work/final.txt"
aerobi evaluate "$work/random" > "$work/random.txt"

architecture() { # of a final training
  grep -m1 -oE '^Training [0-9 ]+: [0-9]+ parameters' "$work/$1/stdout" | sed 's/^Training //'
}
exact_match() {
  sed -nE 's/^exact match +//p' "$work/$1.txt"
}

echo
echo "== Summary: test exact match of the epoch that was best on validation, 95 % interval"
echo "chosen   $(exact_match final)   $(architecture final)"
echo "random   $(exact_match random)   $(architecture random)"
echo
echo "the search at a glance    $work/search/report.html"
echo "the final training        $work/final/report.html"
echo "the search as a video     $work/search.mp4"
echo "try it                    .venv/bin/aerobi predict $work/final PHOTO.jpg"
