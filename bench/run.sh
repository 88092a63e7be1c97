#!/usr/bin/env bash
# The benchmarks: see bench/bench.py.
set -e
cd "$(dirname "$0")"
ninja -C "${BUILD:-../build}" --quiet -j2 bench-programs
exec python3 bench.py "$@"
