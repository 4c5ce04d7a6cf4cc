#!/usr/bin/env bash
# soak.sh: the tests of the bed on the newer HTCondor, and the slow ones: too long for every change.
set -euo pipefail
export HTC_BED_SUITE=${HTC_BED_SUITE:-sid}
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
. "$HERE/stages.sh"
. "$HERE/suite.sh"
cd "$REPO"

bed_for_tests
shown "build the last release" "$HERE/last-release.sh"
tests_of_bed
trap '"$HERE/pool.sh" soak off' EXIT
"$HERE/pool.sh" soak on
shown "slow tests" on_bed --test-threads 1 soak::
"$HERE/pool.sh" soak off
shown "bed down" "$HERE/testbed" down
table
