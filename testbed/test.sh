#!/usr/bin/env bash
# test.sh: every test but the slow ones: those that need no bed, those on the bed, and the commands of README and guide.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
. "$HERE/stages.sh"
. "$HERE/suite.sh"
cd "$REPO"

shown "tests that need no bed" cargo test --locked --workspace
bed_for_tests
tests_of_bed
shown "commands of README and guide" "$HERE/guide.sh"
shown "make undeploy" "$HERE/undeployed.sh"
shown "bed down" "$HERE/testbed" down
table
