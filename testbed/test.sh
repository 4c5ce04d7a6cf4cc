#!/usr/bin/env bash
# test.sh: every test there is: those that need no bed, those on the bed, and the commands of README and guide.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
. "$HERE/stages.sh"
cd "$REPO"

shown() { # NAME CMD…: a stage whose output is shown, because it is the point of it
  local name=$1 began=$SECONDS
  shift
  say "" "== $name"
  "$@"
  STAGES+=("$((SECONDS - began)) $name")
}

host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER

shown "tests that need no bed" cargo test --locked --workspace
shown "bed up" "$HERE/testbed" up
# It watches all namespaces and would take the tests' objects.
"$HERE/operator.sh" stop
shown "build the static sender" "$HERE/build.sh" sender
shown "build the tests of the bed" cargo test --locked --workspace --no-run
on_bed() { # ARGUMENTS of the test binaries
  env "$runner=$HERE/testbed as alice" "HTC_TEST_SENDER=$BED/bin/htc-sender" "HTC_SENDER=$BED/bin/htc-sender" \
    cargo test --locked --workspace --tests -- --ignored "$@"
}
shown "tests on the bed" on_bed --test-threads 4 --skip alone:: --skip thousand::
# One filter a run: the scripted binary's own main takes no more.
shown "tests of the whole cluster" on_bed --test-threads 1 alone::
shown "tests of the whole pool" on_bed --test-threads 1 thousand::
shown "commands of README and guide" "$HERE/guide.sh"
shown "make undeploy" "$HERE/undeployed.sh"
shown "bed down" "$HERE/testbed" down
table
