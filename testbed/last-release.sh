#!/usr/bin/env bash
# last-release.sh: builds operator and sender of the release that last-release names, for the tests of upgrades, and puts
# them into bin/last/ of the bed. What is built is kept.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

commit=$(<"$HERE/last-release")
[ "$(cat "$BED/bin/last/commit" 2>/dev/null)" != "$commit" ] || exit 0
cache=$BEDS/last-release
# A target folder of its own: the sources have the same names in another place.
[ -d "$cache/source" ] || git clone --quiet --shared --no-checkout "$REPO" "$cache/source"
git -C "$cache/source" fetch --quiet origin
git -C "$cache/source" checkout --quiet --force --detach "$commit"
env --unset HTC_BED_SUITE "HTC_BED=$cache" "$cache/source/testbed/build.sh"
mkdir -p "$BED/bin/last"
install -m 755 "$cache"/bin/htc-operator "$cache"/bin/htc-sender "$BED/bin/last/"
printf '%s\n' "$commit" >"$BED/bin/last/commit"
