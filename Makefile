# The front door.  Everything is built by Meson into build/; see README.md.
BUILD  ?= build
PREFIX ?= /usr/local

.PHONY: all deps deps-runtimes demo test test-long bench install format check clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja: | have-tools
	@meson setup $(BUILD) --prefix $(PREFIX) >/dev/null

.PHONY: have-tools
have-tools:
	@command -v meson >/dev/null && command -v ninja >/dev/null || $(MAKE) deps

deps:
	@scripts/deps.sh

deps-runtimes:
	@scripts/deps.sh --runtimes

demo: deps all
	@scripts/demo.sh

test: deps all
	@tests/run.sh

test-long: deps all
	@tests/run.sh --long

bench: deps all
	@bench/run.sh

install: all
	@meson configure $(BUILD) --prefix $(PREFIX)
	@meson install -C $(BUILD) --quiet

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

docs/syscalls.md: kernel/sys/table.def tools/syscalls.py
	@python3 tools/syscalls.py docs $< >$@

check: all
	@tests/check.sh

clean:
	@rm -rf $(BUILD)
