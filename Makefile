# SPDX-License-Identifier: Apache-2.0
#
# A thin front for people; Meson does the work. `make help` lists the targets.

BUILD ?= build
NINJA ?= ninja
# Warnings stop the build where changes are judged, not where they are used.
MESON_ARGS ?= $(if $(CI),-Dwerror=true)
# What tests run in emulated arm64 machines.
ARM64_PROGRAMS = $(addprefix tests/hvf/,conform-hvf squib-hvf squib-hvf-broken) \
    $(addprefix tests/nested/,squib-static conform-static)
# What `make run` runs in the guest.
RUN ?= echo "Hello from $$(uname -sr) on $$(uname -m)"; \
    echo "up $$(cut -d" " -f1 /proc/uptime) s, $$(nproc) vCPU, $$(free -m | awk "/Mem/ {print \$$2}") MiB"

.PHONY: all deps run check docs check-asan check-cross cross-arm64 \
    check-long check-lockstep bench \
    bench-quick kernel \
    kernel-fetch install clean fmt help
.NOTPARALLEL:

## all: build into build/ (the default)
all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) product

# The tools are looked for before Meson is, so that a bare machine gets one
# line that helps instead of a missing command.
$(BUILD)/build.ninja:
	@tools/deps -n build
	@meson setup $(BUILD) $(MESON_ARGS)

## deps: install the Debian packages for building, running and testing
deps:
	@tools/deps build run check

## run: build, fetch a kernel, boot it and run a command in it
run:
	@tools/deps build run
	@$(MAKE) --no-print-directory all
	@tools/fetch-kernel
	$(BUILD)/squib run -- sh -c '$(RUN)' </dev/null

## check: all tests; ends with "N passed, N failed"
check:
	@tools/deps build run check
	@$(MAKE) --no-print-directory $(BUILD)/.tests-on
	@$(NINJA) -C $(BUILD)
	@tools/fetch-kernel
	@MESON_ARGS="$(MESON_ARGS)" tools/cross-build $(ARM64_PROGRAMS) && \
	    tools/fetch-kernel -a aarch64 && tools/fetch-kernel -b -a aarch64 || \
	    echo "squib: tests in emulated arm64 machines will be skipped"
	@tools/check $(BUILD)

# A folder that was set up before cmocka was installed looks for it again.
$(BUILD)/.tests-on: $(BUILD)/build.ninja
	@meson setup --reconfigure $(BUILD) $(MESON_ARGS) -Dtests=enabled >/dev/null
	@touch $@

## docs: write docs/api-compat.md from the tables
docs: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) tests/api/api_compat
	$(BUILD)/tests/api/api_compat . >$(BUILD)/api-compat.md
	@cp $(BUILD)/api-compat.md docs/api-compat.md

## check-asan: the tests in a build with AddressSanitizer and UBSan
check-asan:
	@tools/deps build run check
	@[ -f build-asan/build.ninja ] || meson setup build-asan $(MESON_ARGS) \
	    -Db_sanitize=address,undefined -Db_lundef=false -Dtests=enabled
	@$(NINJA) -C build-asan
	@tools/fetch-kernel
	@tools/check build-asan

## check-cross: build for aarch64 and run the unit tests under qemu-user
check-cross:
	@MESON_ARGS="$(MESON_ARGS)" tools/cross-build
	@tools/check build-cross --suite unit --suite conform

## cross-arm64: a static squib for arm64 Linux, in build-cross/
cross-arm64:
	@MESON_ARGS="$(MESON_ARGS)" tools/cross-build tests/nested/squib-static
	@cp build-cross/tests/nested/squib-static build-cross/squib-arm64
	@aarch64-linux-gnu-strip build-cross/squib-arm64
	@echo "squib: build-cross/squib-arm64 runs on any arm64 Linux"

## check-long: the tests that take more than a few minutes
check-long:
	@tools/deps build run check
	@$(MAKE) --no-print-directory $(BUILD)/.tests-on
	@$(NINJA) -C $(BUILD)
	@tools/fetch-kernel
	@tools/check $(BUILD) --suite long

## check-lockstep: the tests with every translated block compared (an hour)
check-lockstep:
	@tools/deps build run check
	@$(MAKE) --no-print-directory $(BUILD)/.tests-on
	@$(NINJA) -C $(BUILD)
	@tools/fetch-kernel
	@tools/check $(BUILD) --suite conform --suite lockstep

## bench: measure speed and memory beside native code and QEMU (minutes)
bench:
	@tools/deps build run bench
	@$(MAKE) --no-print-directory all
	@tools/fetch-kernel -a x86_64
	@[ "$$(uname -m)" != x86_64 ] || \
	    $(MAKE) --no-print-directory cross-arm64 || \
	    echo "squib: the interpreter on arm64 will not be measured"
	@bench/run $(BUILD)

## bench-quick: one round of fewer rows; replaces no published figures
bench-quick:
	@tools/deps build run bench
	@$(MAKE) --no-print-directory all
	@tools/fetch-kernel -a x86_64
	@bench/run --quick $(BUILD)

## kernel: build the tailored guest kernel from Debian's source (~20 minutes)
kernel:
	@tools/deps build kernel
	@tools/build-kernel

## kernel-fetch: fetch Debian's cloud kernel into the cache
kernel-fetch:
	@tools/deps run
	@tools/fetch-kernel

## install: install program, library and headers (DESTDIR is respected)
install: all
	@meson install -C $(BUILD)

## clean: remove what was built (the kernel cache stays)
clean:
	rm -rf build build-asan build-cross build-cross-root $(BUILD)

## fmt: lay out the C sources with clang-format
fmt:
	@tools/deps -n fmt
	@find src include guest examples tests bench -name '*.[ch]' \
	    -exec clang-format -i {} +

## help: this list
help:
	@sed -n 's/^## /  make /p' $(MAKEFILE_LIST)
