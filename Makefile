# make demo   a complete mixed-precision run on real data, on the CPU
# make check  what to run before each commit: formatting, lints, and the tests of the search half; needs no network, no LLVM and
#             no libtorch, and takes less than two minutes once the dependencies are built
# make quick  the tests of the training half on the CPU, without the slow ones
# make test   everything that a change must pass: on the CPU, on libtorch, and on a GPU if there is one
# make book   the book as HTML, in target/book
# make fuzz   fuzz every reader of foreign files and text, a minute each
# make libtorch   PyTorch's library for the feature tch, in .venv-libtorch
#
# All but `make test` and `make libtorch` need git, make, a C compiler and Rust, and no more. The tests install what else they
# need, by name.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo check quick test book libtorch llvm fuzz setup

# Debian packages of the tests: HiGHS is built from source (cmake) and its bindings are generated (clang, libclang-dev); the
# device cuda compiles kernels with LLVM.
PACKAGES := cmake clang libclang-dev coinor-libcbc-dev
LLVM_PACKAGES := llvm-22-dev libpolly-22-dev libz3-dev libzstd-dev zlib1g-dev libxml2-dev

# One build for everything: with other features cargo would compile most crates once more. What is only checked has kernels
# chosen by their time, which would take the tests longer than they take.
FEATURES := highs,cbc,tch,cuda-untuned,cubecl-cpu
CHECKED := $(FEATURES),cuda

# PyTorch's library. The version is that of the README.
TORCH := torch==2.11.0
TORCH_CPU := nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85

# What cargo and the program need in their environment for the features tch and cuda.
LIBTORCH := $(CURDIR)/.venv-libtorch/libtorch
LLVM := $(CURDIR)/.llvm
test: export XDG_DATA_HOME := $(LLVM)
test: export LIBTORCH_BYPASS_VERSION_CHECK = 1
test: export LD_LIBRARY_PATH := $(LIBTORCH)/lib:$(LD_LIBRARY_PATH)
test: export LIBTORCH := $(LIBTORCH)
heading = @printf '\n== %s\n' '$(1)'

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo:
	$(call heading,build)
	cargo build --release --locked
	$(call heading,run)
	./target/release/limpq run experiments/configs/quickstart.toml --out runs/quickstart --replace

# The search half: what builds in a minute, without tensors and plots.
SEARCH := --no-default-features -p limpq -p limpq-core -p limpq-plugins -p mmkp -p own_cost

check:
	$(call heading,formatting)
	cargo fmt --all --check
	$(call heading,lints)
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy $(SEARCH) --all-targets -- -D warnings
	$(call heading,tests of the search half)
	cargo test $(SEARCH) --lib --test search

# Tests that kill runs, wait for them, or train through whole studies and recipes.
SLOW := faults:: interrupts:: recipes:: resume:: study:: system:: tampering::

quick:
	cargo test --workspace --lib --test main -- $(SLOW:%=--skip %)

test:
	@$(MAKE) --no-print-directory setup libtorch llvm
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { \
		echo 'installing the Rust components: rustfmt clippy'; \
		rustup component add rustfmt clippy; }
	$(call heading,formatting)
	cargo fmt --all --check
	$(call heading,lints)
	cargo clippy --workspace --all-targets --features $(CHECKED) -- -D warnings
	$(call heading,tests: units and documentation and contracts and commands of README and the book and licences)
	cargo test --workspace --features $(FEATURES)
	$(call heading,numbers and kernels and a whole run on libtorch)
	$(call on,libtorch) -- $(ON_LIBTORCH)
	$(call heading,kernels for GPUs on the processor)
# Finite differences compile kernels for each shape of each operator, beside trainings. They run on flex and libtorch; PyTorch's
# gradients are compared here, too.
	LIMPQ_TEST_DEVICE=cubecl:cpu cargo test --workspace --features $(FEATURES) --lib --test main -- \
		kernels:: fused:: parity:: operators:: --skip operators::gradients_are_slopes
	$(call heading,the same on a GPU)
	@if nvidia-smi -L 2>/dev/null | grep -q GPU; then \
		$(call on,cuda:0); \
		export NVIDIA_TF32_OVERRIDE=0; $(call on,libtorch:cuda:0); \
	else \
		echo 'no GPU here: the kernels of the device cuda were built, and their tests were not run on one'; \
	fi
	$(call heading,the search without tensors)
	cargo clippy $(SEARCH) -- -D warnings
	$(call heading,documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace --features $(CHECKED)
	@$(MAKE) --no-print-directory book
	$(call heading,licences)
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --offline check licenses bans sources; \
	else \
		echo 'cargo-deny is not installed; the tests have checked the licences'; \
	fi
	@printf '\nall passed\n'

# The book. Without `--release`: mdbook compiles in less than half the time, and renders these pages in a second. What the
# tests of tests/book check is not looked for here.
MDBOOK := 0.5.4
book:
	$(call heading,book)
	@mdbook=$$(command -v mdbook || true); \
	if [[ "$$("$${mdbook:-false}" --version 2>/dev/null)" != 'mdbook v$(MDBOOK)' ]]; then \
		mdbook=$(CURDIR)/.mdbook/bin/mdbook; \
	fi; \
	if [[ "$$("$$mdbook" --version 2>/dev/null)" != 'mdbook v$(MDBOOK)' ]]; then \
		echo 'installing mdbook $(MDBOOK) in .mdbook'; \
		cargo install --quiet --locked --debug --version $(MDBOOK) --no-default-features --features search \
			--root .mdbook mdbook; \
	fi; \
	said=$$("$$mdbook" build docs 2>&1) || { echo "$$said"; exit 1; }; \
	echo "$$said"; \
	! grep -E '^ *(WARN|ERROR)' <<<"$$said"

# What tells libtorch from the CPU: the same numbers as PyTorch, our kernels, quantizers, and a run from pre-training to
# evaluation, twice.
ON_LIBTORCH := parity:: kernels:: fused:: operators:: quantizers:: runs::the_same_config_and_seed

# The tests that train, on another device. Threads of PyTorch spin, and tests are threads already.
on = OMP_NUM_THREADS=1 LIMPQ_TEST_DEVICE=$(1) cargo test --workspace --features $(FEATURES) --lib --test main

# LLVM for the feature cuda. Where the system has the packages, they stand in for the one that a build script would download.
llvm:
	$(call heading,LLVM)
	@known() { ! command -v apt-get || apt-cache show $(firstword $(LLVM_PACKAGES)); }; \
	if ! known >/dev/null 2>&1; then \
		$$( (( EUID )) && command -v sudo ) apt-get update -qq || true; \
	fi; \
	if known >/dev/null 2>&1; then \
		$(call install,$(LLVM_PACKAGES)); \
	else \
		echo 'no package $(firstword $(LLVM_PACKAGES)) here'; \
	fi
	@if [[ -x /usr/lib/llvm-22/bin/llvm-config ]]; then \
		.ci/llvm-from-debian.sh '$(LLVM)'; \
	else \
		echo 'no LLVM 22 of Debian here; the build of the feature cuda downloads one into .llvm'; \
	fi

# PyTorch's library in a virtual environment of this project. Without a GPU the CUDA half is left out, 3 GB of it: of all that
# the CPU half only loads two small libraries.
libtorch:
	$(call heading,libtorch)
	@wanted='$(TORCH)'; \
	if ! nvidia-smi -L 2>/dev/null | grep -q GPU; then wanted="$$wanted for the CPU"; fi; \
	venv=.venv-libtorch; \
	if [[ "$$(cat $$venv/is 2>/dev/null)" == "$$wanted" ]]; then \
		echo "nothing to install: $$venv has $$wanted"; \
		exit 0; \
	fi; \
	echo "installing $$wanted in $$venv"; \
	rm -rf $$venv; \
	python3 -m venv $$venv; \
	if [[ "$$wanted" == '$(TORCH)' || "$$(uname -sm)" != 'Linux x86_64' ]]; then \
		$$venv/bin/pip install --quiet $(TORCH); \
	else \
		$$venv/bin/pip install --quiet --no-deps $(TORCH) $(TORCH_CPU); \
		rm -f $$venv/lib/python3*/site-packages/torch/lib/lib{torch_cuda,torch_cuda_linalg,torch_nvshmem,c10_cuda}.so; \
	fi; \
	( cd $$venv && ln -s lib/python3*/site-packages/torch libtorch && test -e libtorch/include/torch ); \
	echo "$$wanted" >$$venv/is

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := indicators policy rules budget table pickle config weights record metrics image idx cifar10 onnx
# Those that build the training half.
FUZZ_TRAIN := config weights record metrics image idx cifar10

# Runs every fuzz target on a copy of its corpus. The last ones build the training half, which takes some minutes.
fuzz:
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@for target in $(FUZZ_TARGETS); do \
		printf '\n== fuzz %s for %s s\n' "$$target" '$(FUZZ_SECONDS)'; \
		corpus=$$(mktemp -d) && cp tests/fuzz/corpus/$$target/* "$$corpus"; \
		features=(); if [[ " $(FUZZ_TRAIN) " == *" $$target "* ]]; then features=(--features train); fi; \
		( cd tests/fuzz && cargo fuzz run --fuzz-dir . --sanitizer none "$${features[@]}" "$$target" "$$corpus" -- \
			-max_total_time='$(FUZZ_SECONDS)' -print_final_stats=0 -verbosity=0 ); \
		rm -r "$$corpus"; \
	done

setup:
	$(call heading,setup)
	@$(call install,$(PACKAGES))

# Installs the packages that are not there yet.
define install
	missing=(); \
	for package in $(1); do \
		dpkg -s "$$package" 2>/dev/null | grep -q '^Status: install ok installed' || missing+=("$$package"); \
	done; \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	if (( $${#missing[@]} == 0 )); then \
		echo 'nothing to install: $(1) are there'; \
		exit 0; \
	fi; \
	become=(); \
	if (( EUID != 0 )); then become=(sudo); fi; \
	if ! command -v apt-get >/dev/null; then \
		echo 'no apt-get here. This needs what Debian calls: $(1). Going on in the hope that they are there.'; \
		exit 0; \
	fi; \
	if (( EUID != 0 )) && ! command -v sudo >/dev/null; then \
		echo "these packages are missing: $${missing[*]}. Install them as root: apt-get install $${missing[*]}"; \
		exit 0; \
	fi; \
	echo "installing the packages: $${missing[*]}"; \
	"$${become[@]}" apt-get update -qq; \
	"$${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$${missing[@]}"
endef
