# Sourced by the test sections.  A section prints one line a test, `PASS NAME`, `FAIL NAME: why` or
# `SKIP NAME: why`; anything else it prints is detail.  tests/run.sh counts those lines.
#     run_test NAME SECONDS COMMAND...    runs one; its output is shown only when it fails
export LC_ALL=C.UTF-8
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$root/build}
failed=0

pass() {
    echo "PASS $1"
}

fail() {
    echo "FAIL $1${2:+: $2}"
    failed=1
}

skip() {
    echo "SKIP $1${2:+: $2}"
}

run_test() {
    local name=$1 seconds=$2 out status
    shift 2
    out=$(timeout -k 5 "$seconds" "$@" 2>&1 </dev/null)
    status=$?
    if [ $status -eq 0 ]; then
        pass "$name"
        return
    fi
    [ $status -eq 124 ] && fail "$name" "still running after $seconds s" || fail "$name" "status $status"
    echo "$out" | tail -n 40 | sed 's/^/    /'
}
