# What people type. Each target is one or two lines; what is more than that lives in xtask.

CARGO_TARGET_DIR ?= $(HOME)/.cache/leno/target
export CARGO_TARGET_DIR
CARGO ?= cargo

.PHONY: demo test build dist setup check e2e fuzz-smoke kubectl portal fmt clean setup-demo setup-test
# Steps of one recipe use both cores by themselves, and setup comes first.
.NOTPARALLEL:

# Sets up, builds, and runs the meshed Bookinfo until Ctrl-C.
demo: setup-demo build
	bin/leno demo

# Sets up, then everything that has to hold before a change lands.
test: setup-test check e2e

# bin/leno and the demo's own workload, bin/bookinfo.
build: portal
	$(CARGO) build --locked --release -p leno-cli -p leno-testkit
	@mkdir -p bin
	@install -m 755 $(CARGO_TARGET_DIR)/release/leno $(CARGO_TARGET_DIR)/release/bookinfo bin/

# bin/dist/leno as it is packaged and measured: optimised across crates and by a profile, which takes a quarter of an hour.
dist: portal
	rustup component add llvm-tools
	$(CARGO) xtask dist

# The page served at the front door; npm runs only when its sources are newer than the last build.
portal: portal/dist/index.html
portal/dist/index.html: portal/node_modules/.package-lock.json $(shell find portal -path portal/node_modules -prune -o -path portal/dist -prune -o -type f -print)
	cd portal && npm run --silent build
portal/node_modules/.package-lock.json: portal/package-lock.json
	cd portal && npm ci --no-audit --no-fund --silent

setup: setup-test
setup-demo setup-test:
	@scripts/setup $(@:setup-%=%)

# Everything that needs no release binary.
check: portal kubectl
	$(CARGO) fmt --all --check
	@$(CARGO) xtask peers envoy || echo "make: without it the tests that compare with Envoy are skipped"
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --workspace
	$(CARGO) xtask deny --if-built
	cd portal && npm run --silent test
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --locked --workspace --no-deps --quiet

# The real binaries, the real kubectl, a real browser.
e2e: build
	$(CARGO) xtask fuzz --seconds 60
	$(CARGO) xtask interop short
	bin/leno demo --check
	$(CARGO) xtask soak lifecycle --short
	$(CARGO) xtask attack --short
	$(CARGO) xtask docs
	$(CARGO) xtask bench instructions
	cd portal && npm run --silent e2e

# Every parser, a minute each.
fuzz-smoke:
	$(CARGO) xtask fuzz --each 60

# A later kubectl for the tests beside the installed one, built once where there is a Go that can.
kubectl:
	@if command -v go >/dev/null 2>&1; then $(CARGO) xtask peers kubectl-1.37; else false; fi || \
		echo "tests run with the installed kubectl alone" >&2

fmt:
	$(CARGO) fmt --all

clean:
	rm -rf bin portal/dist portal/node_modules
