#!/usr/bin/env bash
# Tests and benches on a machine with a GPU that has neither a Rust toolchain nor a network.
#
#     benches/gpu.sh pack        here: builds everything for libtorch and cuda into target/gpu.tar.xz
#     benches/gpu.sh run DIR     there, in a checkout with that file at the same place: under 9 minutes, results in DIR
#
# `make llvm libtorch` must have been run here. There, PyTorch 2.11 with CUDA, and torchvision, must be what `$LIMPQ_PYTHON` imports (python3 if that
# is not set). Tests know the path of the checkout that they were built in: `run` links it to the one that it stands in.
set -euo pipefail
cd "$(dirname "$0")/.."
archive=target/gpu.tar.xz

pack() {
    export LIBTORCH=$PWD/.venv-libtorch/libtorch LIBTORCH_BYPASS_VERSION_CHECK=1 XDG_DATA_HOME=$PWD/.llvm
    export LD_LIBRARY_PATH=$LIBTORCH/lib
    local stage
    stage=$(mktemp -d)
    # The programs that cargo names in a build's messages. Each is mostly the compiler of kernels: two of them fit.
    local programs='select(.target.name == $name) | .executable // empty'
    cargo test --features tch,cuda-untuned --test main --no-run --message-format json |
        jq -r --arg name main "$programs" | xargs -I{} cp {} "$stage/main"
    cargo bench --features tch,cuda --bench gpu --no-run --message-format json |
        jq -r --arg name gpu "$programs" | xargs -I{} cp {} "$stage/gpu"
    strip "$stage"/{main,gpu}
    pwd >"$stage/root"
    git describe --always --dirty >"$stage/commit"
    tar -C "$stage" -c main gpu root commit | xz -T2 --x86 --lzma2=preset=6,dict=256MiB >"$archive"
    rm -r "$stage"
    ls -lh "$archive"
}

run() {
    local root torch
    out=$1 python=${LIMPQ_PYTHON:-python3}
    mkdir -p "$out" target/gpu
    tar -C target/gpu -xf "$archive"
    root=$(cat target/gpu/root)
    if [[ ! -e $root ]]; then
        mkdir -p "$(dirname "$root")"
        ln -s "$PWD" "$root"
    fi
    torch=$("$python" -c 'import os, torch, torchvision; print(os.path.dirname(torch.__file__))')
    export LD_LIBRARY_PATH=$torch/lib:$(printf '%s:' "$torch"/../nvidia/*/lib)/usr/local/cuda/lib64:/usr/local/nvidia/lib64
    export CUDA_PATH=${CUDA_PATH:-/usr/local/cuda} CARGO_MANIFEST_DIR=$root
    {
        echo "commit $(cat target/gpu/commit)"
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
        "$python" -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda)'
    } | tee "$out/machine.txt"
    machine=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
    commit=$(cat target/gpu/commit)
    # The limits add up to 510 seconds. cuda times kernels for each new shape, in tests it does not.
    tests libtorch:cuda:0 60
    trained libtorch:cuda:0 resnet18-64 45 --model resnet18 --batch 64 --rounds 3
    trained libtorch:cuda:0 resnet18-256-bfloat16 45 --model resnet18 --batch 256 --arithmetic bfloat16
    trained libtorch:cuda:0 resnet50-64 40 --model resnet50 --batch 64
    trained libtorch:cuda:0 mobilenet_v1-64 30 --model mobilenet_v1 --batch 64
    operations libtorch:cuda:0 25
    tests cuda:0 90
    trained cuda:0 resnet18-64 145 --model resnet18 --batch 64
    operations cuda:0 30
}

# tests DEVICE SECONDS: operations, quantizers, and networks against PyTorch's numbers.
tests() {
    local name=${1//:/-}
    # PyTorch's numbers are those of whole 32-bit products.
    export LIMPQ_TEST_DEVICE=$1 NVIDIA_TF32_OVERRIDE=0
    part "$out/$name-tests.txt" "$2" target/gpu/main kernels:: parity:: fused:: quantizers:: sensitivities::
    unset LIMPQ_TEST_DEVICE NVIDIA_TF32_OVERRIDE
}

# trained DEVICE NAME SECONDS ARGUMENTS...: speed and memory of training at ImageNet's size, against PyTorch.
trained() {
    local device=$1 name=${1//:/-}-$2 seconds=$3
    shift 3
    part "$out/$name.txt" "$seconds" env LIMPQ_PYTHON="$python" target/gpu/gpu training "$@" --device "$device" --input 3x224x224 \
        --classes 1000 --steps 8 --rounds 1 --machine "$machine" --commit "$commit" --json "$out/$name.json"
}

# operations DEVICE SECONDS: speed of single operations.
operations() {
    part "$out/${1//:/-}-operations.txt" "$2" target/gpu/gpu operations --device "$1" --json "$out/${1//:/-}-operations.json"
}

# part FILE SECONDS COMMAND...: its output into the file; what fails or runs out of time does not keep the next from running.
part() {
    local file=$1 seconds=$2 code=0
    shift 2
    timeout -k 5 "$seconds" "$@" >"$file" 2>&1 || code=$?
    echo "$(basename "$file"): exit status $code"
    tail -3 "$file"
}

case ${1:-} in
    pack) pack ;;
    run) run "${2:?a folder for the results}" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
