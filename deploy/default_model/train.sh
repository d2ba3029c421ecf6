#!/usr/bin/env bash
# Trains the default model with tome-lab, from nothing, on the pictures that prepare.py wrote.
#   deploy/default_model/train.sh PREPARED OUT [OPTION...]
# Three goes: OUT/first learns from mild changes, OUT/second goes on from it with harder ones, and OUT from that with
# pictures blended two by two. Interrupted, it goes on where it was when it is run again. Options go to tome-lab train:
# --device cuda trains on a GPU, --threads 1 leaves other cores to other work. R=0 trains without merging; STEPS, of each
# go (0: not that one), and DTYPE are as they say.
set -euo pipefail
cd "$(dirname "$0")/../.."

[[ $# -ge 2 ]] || { sed -n '2,7s/^# \?//p' "$0"; exit 2; }
prepared=$1
out=$2
shift 2
options=("$@")
lab=build/release/bin/tome-lab
read -r first_steps second_steps third_steps <<<"${STEPS:-3000 5000 2300}"

dtype=float32
if grep -q 'avx512_bf16\|amx_bf16' /proc/cpuinfo; then dtype=bfloat16; fi
# Kept memory saves a sixth of a step, which else goes into the kernel's fresh pages.
export GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456

# train FROM OUT STEPS MIXTURE OPTION...: nothing where OUT has been trained to its end. MIXTURE: what r is drawn from.
train() {
  local from=$1 to=$2 steps=$3 mixture=$4
  shift 4
  if ((steps == 0)); then return; fi
  # Mostly high r: such a step costs two fifths of one without merging, and the contrastive objective holds the
  # embeddings of all r together, because a picture's two views seldom have the same.
  "$lab" train --from "$from" --images "$prepared/train" --out "$to" --resume \
    --supervised 1 --contrastive 1 --r "${R:-$mixture}" --batch 96 --steps "$steps" --warm-up $((steps < 1000 ? steps / 10 : 100)) \
    --optimizer muon --weight-decay 0.05 --rotation 20 --dtype "${DTYPE:-$dtype}" --save-dtype float16 \
    "$@" "${options[@]}"
}

if [[ ! -f $out/start/config.json ]]; then
  "$lab" new "$out/start" --width 128 --depth 12 --heads 2 --patch-size 16 --image-size 160 --seed 1
fi
train "$out/start" "$out/first" "$first_steps" 0,8,12,16,16,16,16,16 --learning-rate 1.5e-3 --temperature 0.07 --smallest-crop 0.4 --seed 1
train "$out/first" "$out/second" "$second_steps" 0,8,12,16,16,16,16,16 --learning-rate 1.2e-3 --temperature 0.05 --smallest-crop 0.25 --seed 2
# Up to the cap of 100 tokens.
train "$out/second" "$out" "$third_steps" 0,8,12,16,16,16,24,50 --learning-rate 1.2e-3 --temperature 0.05 --smallest-crop 0.25 \
  --mixup 0.5 --seed 4
