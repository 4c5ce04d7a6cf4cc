#!/usr/bin/env bash
# lint.sh: formatting, clippy and shellcheck; warnings are errors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v shellcheck >/dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq shellcheck >/dev/null
}
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets --quiet -- --deny warnings
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard 'testbed/*.sh' 'deploy/*.sh' testbed/testbed .ci/run)
shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
