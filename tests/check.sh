#!/usr/bin/env bash
# Checks of the source itself: layout, arrows, headers alone, both compilers, spelling.
source "$(dirname "$0")/report.sh"
cd "$root" || exit 2

sources() {
    git ls-files -co --exclude-standard "$@" | while read -r file; do [ -e "$file" ] && echo "$file"; done
}

check_format() {
    sources '*.c' '*.h' | xargs -r clang-format --dry-run -Werror
}

# Each header compiles by itself, with the flags of its side.
check_headers() {
    local common="-std=gnu17 -fsyntax-only -x c -Wall -Wextra -Werror -Wno-unused-function"
    local kernel="-ffreestanding -mgeneral-regs-only -mno-red-zone -fPIE -D__INGOT_KERNEL__ -I. -Iinclude -Ikernel -Ikernel/arch/x86_64/include"
    local host="-D_GNU_SOURCE -I. -Iinclude -Ihost"
    sources 'kernel/*.h' 'lib/*.h' 'include/*.h' | xargs -r -P2 -I{} gcc $common $kernel -include {} /dev/null &&
        sources 'host/*.h' 'lib/*.h' 'include/*.h' | xargs -r -P2 -I{} gcc $common $host -include {} /dev/null
}

# Files are kept short enough to read; see docs/testing.md.
check_length() {
    sources 'kernel/*.[ch]' 'lib/*.[ch]' 'host/*.[ch]' 'tests/*.[ch]' | xargs -r wc -l |
        awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines, at most 800"; bad = 1 } END { exit bad }'
}

check_marks() {
    ! sources '*.c' '*.h' '*.S' '*.sh' '*.py' '*.def' | grep -v '^tests/check.sh$' |
        xargs -r grep -nE '\b(TODO|FIXME|XXX)\b'
}

# docs/syscalls.md is made from the table.
check_syscalls() {
    python3 tools/syscalls.py docs kernel/sys/table.def | diff -u docs/syscalls.md - ||
        { echo "run: make docs/syscalls.md"; return 1; }
}

# Programs that no run of this machine may reach are at least programs.
check_scripts() {
    sources '*.py' | xargs -r python3 -c 'import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]' &&
        sources '*.sh' | xargs -r -n1 bash -n
}

check_spelling() {
    sources | grep -vE '\.(bin|xz|gz|img)$|/corpus/' |
        xargs -r codespell -q 3 --ignore-words tools/codespell.ignore
}

check_clang() {
    local dir=$build/clang
    [ -f "$dir/build.ninja" ] || CC=clang meson setup "$dir" "$root" >/dev/null || return 1
    ninja -C "$dir" -j2 ingot-kernel ingot | grep -vE '^\[|^ninja: (Entering|no work)' | cut -c 1-400
    return "${PIPESTATUS[0]}"
}

export -f sources
for check in format arrows headers length marks syscalls scripts spelling clang; do
    case $check in
    arrows) run_test "check: arrows" 60 python3 tools/check_arrows.py ;;
    *)
        export -f "check_$check"
        export build root
        run_test "check: $check" 550 bash -c "check_$check"
        ;;
    esac
done
exit $failed
