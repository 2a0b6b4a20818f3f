#!/usr/bin/env bash
# Trains the MNIST network with the largest certified accuracy in docs/experiments.md, into OUT/mnist.onnx: the average of four
# networks, trained further, as one network of one hidden layer. About 70 minutes of one core that has bfloat16.
# recipes/mnist-curvature.sh PYTHON DATA OUT [OPTION...]
# PYTHON has numpy, torch and onnx; DATA is a folder with the four official files. What is in OUT already is not trained again.
# An OPTION goes to every training: --seed 2 for another network, --epochs 1 for a trial. Other options need another OUT.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
python=$1 data=$2 out=$3 options=("${@:4}")
train() {
    [ -e "$out/$1.onnx" ] || "$python" "$(dirname "$0")/../scripts/train_curvature.py" --data "$data" --out "$out/$1.onnx" --bf16 \
        "${@:2}" ${options[@]+"${options[@]}"}
}
mkdir -p "$out"
[ -e "$out/options.txt" ] || [ -n "$(find "$out" -name '*.onnx')" ] || echo "$data ${options[*]-}" > "$out/options.txt"
if ! echo "$data ${options[*]-}" | cmp --silent - "$out/options.txt"; then
    echo "error: $out has networks of other data or options (options.txt); empty it or name another folder" >&2
    exit 2
fi
train narrow --arch dense:1024 --epochs 40 --lr 1.2e-2
train middle --arch dense:2048 --epochs 20 --lr 1e-2
train wide --arch dense:4096,256 --epochs 40 --lr 8e-3 --steps 2
train windows --arch conv:256,24,2,0 --epochs 26 --lr 1e-2 --steps 2 --seed 1
train three --init "$out/narrow.onnx" "$out/middle.onnx" "$out/wide.onnx" --epochs 8 --lr 1e-3 --steps 2
train mnist --init "$out/three.onnx" "$out/windows.onnx" --epochs 3 --lr 5e-4 --steps 2 --test
