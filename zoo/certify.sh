#!/usr/bin/env bash
# Certifies all test images of their data sets with the networks of this folder and two of examples/, confirms every
# certificate, and leaves summaries (.txt) and certificates (.jsonl) in OUT.
# zoo/certify.sh DATA OUT
# DATA holds the folders mnist, fashion-mnist (official files, gzipped) and cifar-10-batches-bin (binary version).
set -euo pipefail
if [ $# -ne 2 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
data=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
[ -z "${SIGMAX:-}" ] || SIGMAX=$(realpath "$SIGMAX")
cd "$(dirname "$0")/.."
sigmax=${SIGMAX:-${CARGO_TARGET_DIR:-target}/release/sigmax}
[ -n "${SIGMAX:-}" ] || cargo build --quiet --release -p sigmax-cli

# model, folder of the data, kind of files, method
while read -r model folder kind eps method; do
    name=$(basename "$model" .onnx)
    images=("$data/$folder")
    if [ "$kind" = idx ]; then
        images=("$data/$folder/t10k-images-idx3-ubyte.gz" --labels "$data/$folder/t10k-labels-idx1-ubyte.gz")
    fi
    # the summary has its name when everything is confirmed
    rm -f "$out/$name.txt"
    {
        "$sigmax" certify "$model" --images "${images[@]}" --eps "$eps" --method "$method" --certificates "$out/$name.jsonl" &&
            "$sigmax" check "$out/$name.jsonl" "$model"
    } > "$out/$name.part" 2> "$out/$name.log" || {
        code=$?
        cat "$out/$name.log" >&2
        rm "$out/$name.part" "$out/$name.log"
        exit "$code"
    }
    mv "$out/$name.part" "$out/$name.txt"
    rm "$out/$name.log"
    echo "$name"
    grep -E "^(Clean|Certified within)|confirmed" "$out/$name.txt" | sed 's/^/  /'
done <<'LIST'
zoo/cifar10-lipschitz.onnx cifar-10-batches-bin bin 0.1412,0.2824,0.4236,1 global
zoo/fashion-mnist-lipschitz.onnx fashion-mnist idx 0.3,0.5,1,1.58 global
zoo/mnist-windows.onnx mnist idx 0.3,0.5,1,1.58 curvature
examples/mnist-lipschitz.onnx mnist idx 0.3,0.5,1,1.58 global
examples/mnist-curvature.onnx mnist idx 0.3,0.5,1,1.58 best
LIST
