#!/usr/bin/env bash
# What Ingot is for, in under a minute: real programs of this machine, each as a unikernel.
set -euo pipefail
cd "$(dirname "$0")/.."
ingot=${BUILD:-build}/ingot

show() {
    printf '\n$ ingot'
    printf ' %q' "$@"
    printf '\n'
    "$ingot" "$@" </dev/null
}

if [ -t 1 ]; then
    bold=$(tput bold 2>/dev/null || true) plain=$(tput sgr0 2>/dev/null || true)
else
    bold= plain=
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

say 'What this machine offers:'
show doctor
say 'A C source: compiled, made into an image, booted. Its output and exit status arrive here.'
show run examples/hello/hello.c
say "Debian's own python3, unmodified; what it needs was found without running it."
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3)
show run "$python" -c 'import json, platform, sys
print(json.dumps({"sum": sum(range(10)), "python": platform.python_version(), "argv": sys.argv[1:]}))' a 'b c'
say 'Files and variables for one run, and no rebuilding:'
file=$(mktemp)
trap 'rm -f "$file"' EXIT
echo 'a file of the host' >"$file"
show run -m 64M --file "$file:/data/a.txt" /bin/cat /data/a.txt
say 'An exit status passes through:'
status=0
show run /bin/sh -c 'exit 7' || status=$?
echo "exit status: $status"
[ "$status" -eq 7 ]
