#!/bin/sh
# Start an instance in the place of the one that has its name. If it does not become ready, that one
# is started again.
#     INGOT, NAME, ID, READY, TIMEOUT in the environment; the words of ingot run as arguments
set -u
before=$NAME.before

# An instance that somebody else started under this name is not ours to end: run will say so.
is_ours() {
    "$INGOT" ps --all --quiet --filter label=terraform | grep -qxF "$1"
}

is_ours "$before" && "$INGOT" rm --force "$before" >/dev/null
if is_ours "$NAME"; then
    "$INGOT" stop "$NAME" && "$INGOT" rename "$NAME" "$before" || exit 1
fi
if "$INGOT" run --detach --name "$NAME" --label "terraform=$ID" "$@" &&
    "$INGOT" wait --condition "$READY" --timeout "$TIMEOUT" "$NAME"; then
    is_ours "$before" && "$INGOT" rm --force "$before"
    exit 0
fi
if "$INGOT" ps --all --quiet --filter "label=terraform=$ID" | grep -qxF "$NAME"; then
    "$INGOT" logs --tail 20 "$NAME"
    "$INGOT" rm --force "$NAME"
fi
if is_ours "$before"; then
    "$INGOT" rename "$before" "$NAME" && "$INGOT" start "$NAME" &&
        echo "$NAME: it does not become $READY; what ran before runs again" >&2
fi
exit 1
