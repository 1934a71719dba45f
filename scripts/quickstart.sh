#!/usr/bin/env bash
# From nothing to a trained network with its report, made for two cores and no GPU: installs
# into .venv, makes the embedded data set, searches, chooses by short real trainings, trains what
# was chosen and, for comparison, five random architectures. Everything it makes is below
# quickstart/. Started again, it goes on where it was.
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

twice() { # the same command in two processes, which share the work; the first one speaks
  # A thread each: with two, those of one process wait, spinning, for the cores of the other.
  (
    export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    aerobi "$@" > "$work/second_process.log" 2>&1 &
    aerobi "$@"
    wait $!
  )
}

if [ "$data" = "$work/data" ] && [ ! -d "$data" ]; then
  echo "== Making the embedded data set in $data"
  mkdir -p "$work"
  aerobi sample-data --output "$data" --train 800 --val 400 --test 2000
fi

size=(--data_path="$data" --cache_dir="$work/cache" --img_size=32 --child_out_filters=8)
# Short: architectures differ then. In 12 epochs most of this space come to about the same.
training=(--num_epochs=6 --log_every=25 --eval_every_epochs=3)

echo "== Searching ($work/search)"
aerobi search "${size[@]}" --output_dir="$work/search" --log_every=50

echo "== Choosing: whole trainings of the best 8 ($work/search/architectures.json)"
twice select "$work/search" --rank_by mean_average_precision --samples 50 \
  --train 8 --rungs 6 --measure loss -- "${training[@]}"

echo "== Training the chosen one ($work/final), and five random ones ($work/chance)"
aerobi final "${size[@]}" "${training[@]}" --seed=1 --output_dir="$work/final" \
  --child_fixed_arc="$work/search/architectures.json#best"
twice select "$work/chance" --policy random --train 5 --rungs 6 -- \
  "${size[@]}" "${training[@]}" --seed=1

echo "== Drawing"
aerobi report "$work/search"
aerobi report "$work/final"
aerobi draw "$work/search" --formats mp4 --output "$work/search.mp4"

echo
"$PYTHON" scripts/quickstart_summary.py "$work/final" "$work"/chance/halving/candidate_*/
echo
echo "the search at a glance    $work/search/report.html"
echo "the final training        $work/final/report.html"
echo "the search as a video     $work/search.mp4"
echo "try it                    .venv/bin/aerobi predict $work/final PHOTO.jpg"
