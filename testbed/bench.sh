#!/usr/bin/env bash
# bench.sh [SUBJECT…]: brings the bed up, builds what is measured as it is shipped, and measures it.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
. "$HERE/stages.sh"
cd "$REPO"
export CARGO_TARGET_DIR=$BED/target
"$HERE/testbed" up
"$HERE/operator.sh" stop
stage build "$HERE/build.sh"
install -o 1000 -g 1000 -m 644 /dev/null "$BED/bench.json"
host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
env "$runner=$HERE/testbed as alice" cargo bench --locked --profile dev --bench bed -- "$@"
