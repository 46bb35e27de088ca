#!/bin/bash
# sbatch docs/launch/slurm.sh RECIPE --out /shared/runs/NAME [--resume]
# Four machines of eight GPUs, models in pieces over all of them. Unverified: docs/distributed.md.
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
set -euo pipefail
meeting_point=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 8 \
    --rdzv-backend c10d --rdzv-endpoint "$meeting_point:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m pondera train "$@" --set model.sharded=true
