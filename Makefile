# Each target sets up what it needs (scripts/setup.sh) and then runs cargo.
# CARGOFLAGS goes to every cargo command that builds, e.g. make test CARGOFLAGS=--locked

CARGOFLAGS ?=
# rustup's folder, for shells that read no profile.
CARGO_HOME_BIN := $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin
export PATH := $(PATH):$(CARGO_HOME_BIN)

.PHONY: help demo test test-drivers test-report-page bench bench-peers lint fuzz guest guest-check setup setup-lint setup-guest \
    setup-drivers

help:
	@echo 'make demo         run the demonstration'
	@echo 'make test         run every test, documentation examples included'
	@echo 'make test-drivers test with real drivers (Python 3, from PyPI and Debian)'
	@echo 'make test-report-page  test the page of leaks in a browser (Python 3, Chromium)'
	@echo 'make bench        run the benchmarks'
	@echo 'make bench-peers  compare with other emulators (Python 3, from PyPI)'
	@echo 'make lint         check formatting, lints and documentation'
	@echo 'make fuzz         feed the debugger random commands, FUZZ_SECONDS long (nightly Rust, cargo-fuzz)'
	@echo 'make guest        rebuild the guest images from their sources'
	@echo 'make guest-check  rebuild them elsewhere and compare byte for byte'

demo: setup
	cargo run --release $(CARGOFLAGS) -- demo

test: setup
	cargo test --workspace $(CARGOFLAGS)

test-drivers: setup-drivers
	scripts/test-drivers $(CARGOFLAGS)

test-report-page: setup
	scripts/test-report-page $(CARGOFLAGS)

bench: setup
	cargo bench --workspace $(CARGOFLAGS)

bench-peers: setup
	benches/peers/run $(CARGOFLAGS)

lint: setup-lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(CARGOFLAGS) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps $(CARGOFLAGS)

FUZZ_SECONDS ?= 60

fuzz: setup
	scripts/fuzz $(FUZZ_SECONDS)

guest: setup-guest
	fixtures/guest/build.sh

guest-check: setup-guest
	fixtures/guest/build.sh --check

setup:
	@scripts/setup.sh build

setup-lint:
	@scripts/setup.sh lint

setup-guest:
	@scripts/setup.sh guest

setup-drivers:
	@scripts/setup.sh drivers
