#!/usr/bin/env bash
# readme.sh: runs every command block of the README, in one shell as a reader would, and fails with the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# `make test` is what runs this; .ci/run proves it.
skipped='make test'
grep -qx "$skipped" .ci/run || { echo "README says \"$skipped\", and .ci/run does not run it" >&2 && exit 1; }

blocks=$(awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md)
[ -n "$blocks" ] || { echo "README.md has no command blocks" >&2 && exit 1; }
others=$(awk '/^```/ { if (!inside && $0 != "```sh") print; inside = !inside }' README.md)
[ -z "$others" ] || { echo "README.md has blocks that nobody runs: $others" >&2 && exit 1; }
grep -vx "$skipped" <<<"$blocks" | bash -euxo pipefail
