#!/bin/sh
# Puts Debian's LLVM 22 where the build script of the feature `cuda` looks for the LLVM bundle that it would download from
# GitHub: for machines that reach package archives only. Builds then need the same XDG_DATA_HOME, the argument.
#
#     .ci/llvm-from-debian.sh DATA_HOME && XDG_DATA_HOME=DATA_HOME cargo build --features cuda
#
# Needs the packages llvm-22-dev libpolly-22-dev libz3-dev libzstd-dev zlib1g-dev libxml2-dev.
set -eu
cd "$(dirname "$0")/.."
version=$(awk -F '"' '/^name = "tracel-llvm-bundler"/ { getline; print $2 }' Cargo.lock)
bundle=$1/tracel/tracel-llvm-$version
mkdir -p "$bundle/bin"
# llvm-config names libz3 by its full path, of which the build script would make -llibz3.
cat >"$bundle/bin/llvm-config" <<'WRAPPER'
#!/bin/sh
/usr/lib/llvm-22/bin/llvm-config "$@" | sed 's#/[^ ]*/lib\(z3\)\.so#-l\1#g'
WRAPPER
chmod +x "$bundle/bin/llvm-config"
touch "$bundle/.tracel-llvm-installed"
echo "LLVM $("$bundle/bin/llvm-config" --version) of Debian stands in for bundle $version"
