#!/usr/bin/env bash
# Starts 1 parameter server and N workers on loopback, each with the same command and a TF_CONFIG of
# its own; worker 0 is the chief, whose output is shown. The others' goes to LOGS/<process>.log.
#
#   scripts/cluster/launch_local_cluster.sh N COMMAND...
#   scripts/cluster/launch_local_cluster.sh 2 scripts/AEROBI_macro_search.sh --noreset_output_dir \
#       --data_path=CODEBRIM --output_dir=outputs --child_sync_replicas
#
# A process that dies, or ends with status 75 ("start again"), is started again, RESTARTS times in
# all (default 3). Ctrl-C and SIGTERM go to the chief, which writes a checkpoint.
# PORT (default 23450) and those after it are used; LOGS is a new folder in /tmp unless set.
set -euo pipefail

usage() {
  echo "usage: $0 N COMMAND...   (N workers; see the head of this file)" >&2
  exit 2
}
[[ ${1:-} =~ ^[1-9][0-9]*$ && $# -ge 2 ]] || usage
workers=$1
shift
port=${PORT:-23450}
restarts=${RESTARTS:-3}
logs=${LOGS:-$(mktemp -d)}
mkdir -p "$logs"

others=""
for ((i = 1; i < workers; i++)); do
  others+="${others:+, }\"127.0.0.1:$((port + 1 + i))\""
done
cluster="{\"ps\": [\"127.0.0.1:$port\"], \"chief\": [\"127.0.0.1:$((port + 1))\"], \
\"worker\": [$others]}"

declare -A pids=()
set -m  # every process in a group of its own: Ctrl-C comes here alone

start() {  # NAME COMMAND...
  local name=$1 type=${1%%-*} index=${1##*-}
  shift
  export TF_CONFIG="{\"cluster\": $cluster, \"task\": {\"type\": \"$type\", \"index\": $index}}"
  if [ "$type" = chief ]; then
    "$@" > >(tee -a "$logs/$name.log") 2>&1 &
  else
    "$@" >> "$logs/$name.log" 2>&1 < /dev/null &
  fi
  pids[$name]=$!
}

end_all() {
  local name
  for name in "${!pids[@]}"; do
    [ -z "${pids[$name]}" ] || kill -KILL "${pids[$name]}" 2>/dev/null || true
  done
}
trap end_all EXIT
stopping=
stop_chief() {
  stopping=1
  kill -TERM "${pids[chief-0]}" 2>/dev/null || true
}
trap stop_chief INT TERM

names=(ps-0 chief-0)
for ((i = 0; i < workers - 1; i++)); do
  names+=("worker-$i")
done
echo "1 parameter server, $workers workers; logs in $logs" >&2
for name in "${names[@]}"; do
  start "$name" "$@"
done

while true; do
  sleep 0.5 || true
  for name in "${names[@]}"; do
    [ -n "${pids[$name]}" ] || continue
    kill -0 "${pids[$name]}" 2>/dev/null && continue
    status=0
    wait "${pids[$name]}" || status=$?
    pids[$name]=""
    if [ "$name" = chief-0 ] && { [ $status = 0 ] || [ -n "$stopping" ]; }; then
      exit $status
    fi
    [ $status = 0 ] && continue  # it was told that the run is over
    if [ $status = 2 ]; then
      [ "$name" = chief-0 ] || tail -n 5 "$logs/$name.log" >&2
      exit 2
    fi
    if [ "$restarts" -le 0 ]; then
      echo "$name ended with status $status; no restarts are left (see $logs/$name.log)" >&2
      exit $status
    fi
    restarts=$((restarts - 1))
    echo "$name ended with status $status; starting it again" >&2
    start "$name" "$@"
  done
done
