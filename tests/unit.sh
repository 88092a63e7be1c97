#!/usr/bin/env bash
# Unit tests: kernel, lib and host code compiled for the host with ASan and UBSan.
source "$(dirname "$0")/report.sh"
# A child that exits through _exit is not checked, so leaks are found a test at a time.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1

# --long: so many power cuts and other storms on ext4 as the issue asks for.
limit=600 # a busy host makes ten seconds of work last two minutes
[ "${1:-}" = --long ] && limit=2400 && export EXT4_SEEDS=1000

run_test "unit: build" 900 ninja -C "$build" --quiet -j2 unit-tests
for program in "$build"/tests/unit/*_test; do
    [ -x "$program" ] || continue
    module=$(basename "$program" _test)
    out=$(timeout -k 5 $limit "$program" 2>&1 </dev/null)
    status=$?
    sed -n "s/^ok /PASS unit $module: /p; s/^not ok /FAIL unit $module: /p" <<<"$out"
    [ $status -eq 0 ] && continue
    failed=1
    grep -q '^not ok ' <<<"$out" || fail "unit $module" "status $status"
    grep -v '^ok ' <<<"$out" | tail -n 60 | sed 's/^/    /'
done
exit $failed
