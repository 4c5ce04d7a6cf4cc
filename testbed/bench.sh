#!/usr/bin/env bash
# bench.sh [SUBJECT…]: brings the bed up, builds what is measured as it is shipped, and measures it: with quick
# intervals, and then what depends on them with those of a production pool.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
. "$HERE/stages.sh"
cd "$REPO"
export CARGO_TARGET_DIR=$TARGET
"$HERE/testbed" up
"$HERE/operator.sh" stop
stage build "$HERE/build.sh"
install -o 1000 -g 1000 -m 644 /dev/null "$BED/bench.json"
host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
bench() { env "$runner=$HERE/testbed as alice" cargo bench --locked --bench bed -- "$@"; }
before=$(cat "$BED/profile")
trap '"$HERE/testbed" profile "$before"' EXIT # whatever happens
"$HERE/testbed" profile quick
status=0
bench "$@" || status=$?
patient=()
for subject in unrouted carried; do
  [[ $# = 0 || " $* " == *" $subject "* ]] && patient+=("$subject")
done
if [ ${#patient[@]} != 0 ]; then
  "$HERE/testbed" profile production
  HTC_BED_PROFILE=production bench "${patient[@]}" || status=$?
fi
exit "$status"
