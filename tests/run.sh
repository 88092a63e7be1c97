#!/usr/bin/env bash
# All tests: one line a test, then the plain line `N passed, N failed`; exit 1 when one failed.
#     tests/run.sh [--long] [SECTION...]     sections: check unit runner guest fuzz e2e
# --long runs the slow ones too: longer fuzzing, memory sweeps, storms.
set -u
cd "$(dirname "$0")/.." || exit 1

long=
times=1
sections=()
for arg; do
    case $arg in
    --long) long=--long times=6 ;;
    -*) echo "usage: tests/run.sh [--long] [check|unit|runner|guest|fuzz|e2e]..." >&2; exit 2 ;;
    *) sections+=("$arg") ;;
    esac
done
[ ${#sections[@]} -eq 0 ] && sections=(check unit runner guest fuzz e2e)

# Several times what two cores of today take; a section that hangs still ends.
declare -A seconds=([check]=1200 [unit]=1800 [runner]=900 [guest]=2400 [fuzz]=1200 [e2e]=5400)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for section in "${sections[@]}"; do
    for script in "tests/$section.sh" "tests/$section/run.sh"; do
        [ -x "$script" ] && break
    done
    if [ ! -x "$script" ]; then
        echo "FAIL $section: no such section" | tee -a "$log"
        continue
    fi
    start=$SECONDS
    failures=$(grep -c '^FAIL ' "$log")
    timeout -k 10 $((${seconds[$section]:-600} * times)) "$script" $long 2>&1 | tee -a "$log"
    status=${PIPESTATUS[0]}
    # A section that broke down before it could say which test failed.
    if [ "$status" -eq 124 ]; then
        echo "FAIL $section: still running after its time" | tee -a "$log"
    elif [ "$status" -ne 0 ] && [ "$(grep -c '^FAIL ' "$log")" -eq "$failures" ]; then
        echo "FAIL $section: the section itself ended with status $status" | tee -a "$log"
    fi
    echo "-- $section: $((SECONDS - start)) s"
done

passed=$(grep -c '^PASS ' "$log")
failed=$(grep -c '^FAIL ' "$log")
skipped=$(grep -c '^SKIP ' "$log")
if [ "$failed" -gt 0 ]; then
    echo
    grep '^FAIL ' "$log"
fi
echo
[ "$skipped" -gt 0 ] && echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
