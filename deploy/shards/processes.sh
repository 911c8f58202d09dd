#!/usr/bin/env bash
# Several shards on this machine, each with its own state, port and log:
#
#   processes.sh COUNT DIRECTORY mirrorwatch watch --data=/data --model=mlp --root=/runs
#
# They end together: with the training where `--until-finished` is among the options, with this script, or with one of them
# that cannot go on.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: processes.sh COUNT DIRECTORY COMMAND…" >&2
  exit 2
fi
count=$1 directory=$2
shift 2
mkdir -p "$directory"
shards=()
trap 'kill "${shards[@]}" 2>/dev/null || true' TERM INT
for ((index = 0; index < count; index++)); do
  "$@" --shard="$index/$count" --meet="$directory/meeting" --state="$directory/state-$index" \
    --web.listen-address="127.0.0.1:$((${PORT:-9464} + index))" \
    2>"$directory/shard-$index.log" &
  shards+=($!)
done
status=0
for ((left = count; left > 0; left--)); do
  ended=0
  wait -n || ended=$?
  # One that could not start, or was killed: the others would wait for it.
  if [ "$ended" -gt 1 ]; then
    echo "a shard ended with $ended; see $directory/shard-*.log" >&2
    kill "${shards[@]}" 2>/dev/null || true
    wait
    exit "$ended"
  fi
  # 1: it has come to the end, and not every checkpoint could be scanned.
  if [ "$ended" -eq 1 ]; then
    status=1
  fi
done
exit "$status"
