#!/usr/bin/env bash
# One shard a task of an array, on a file system that all nodes share:
#
#   sbatch --array=0-7 slurm.sh mirrorwatch watch --data=/data --model=mlp --root=/shared/runs --until-finished \
#     --threads=4
#
#SBATCH --job-name=mirrorwatch
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --requeue
# Time for a shard to write its state when the job is ended.
#SBATCH --signal=TERM@60
set -euo pipefail
if [ $# -lt 1 ]; then
  echo "usage: slurm.sh COMMAND… as the tasks of an array, from 0" >&2
  exit 2
fi
# Of one run of this array; named by hand, it goes on where an earlier job ended.
shared=${MIRRORWATCH_SHARED:-$PWD/mirrorwatch-$SLURM_ARRAY_JOB_ID}
index=$SLURM_ARRAY_TASK_ID count=$SLURM_ARRAY_TASK_COUNT
mkdir -p "$shared"
# Where Prometheus finds it: a file for file_sd_configs, see prometheus.yml.
address=$(hostname):$((${PORT:-9464} + index))
printf '[{"targets": ["%s"]}]\n' "$address" >"$shared/shard-$index.json"
# Inotify does not see what other nodes write.
exec "$@" --shard="$index/$count" --meet="$shared/meeting" --state="$shared/state-$index" --poll \
  --web.listen-address="${LISTEN:-127.0.0.1}:$((${PORT:-9464} + index))"
