#!/bin/sh
# Run an image under a name of its own, on a port that is free, and ask it for the page.
#     check.sh IMAGE
set -eu

image=$1
name=check-$$
ingot=${INGOT:-ingot}

"$ingot" run --detach --name "$name" --publish 127.0.0.1::8080 "$image" >/dev/null
trap '"$ingot" rm --force "$name" >/dev/null' EXIT
"$ingot" wait --condition healthy --timeout 30s "$name" >/dev/null
curl --silent --show-error --fail "http://$("$ingot" port "$name" 8080)/" | cmp - site/index.html
echo "$image serves its page"
