#!/usr/bin/env bash
# guide.sh: runs every command block of the README and of the guide, each text in one shell as a reader would, and
# fails with the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# `make test` is what runs this; .ci/run proves it.
skipped='make test'
grep -qx "$skipped" .ci/run || { echo "README says \"$skipped\", and .ci/run does not run it" >&2 && exit 1; }

kinds() { awk '/^ *```/ { if (!inside) print substr($0, 4); inside = !inside }' "$1"; }
blocks() { # FILE PATTERN: what the blocks of this kind hold
  awk -v kind="^\`\`\`$2" '/^```/ { if (!inside && $0 ~ kind) mine = 1; else mine = 0; inside = !inside; next } mine' "$1"
}

for text in README.md docs/htcjob.md; do
  while IFS= read -r kind; do
    case $kind in
      sh | yaml | text) ;; # the HTCJobs in YAML are looked at by tests/bed/examples.rs
      'sh site: '?*) echo "$text: not run here: ${kind#sh site: }" ;;
      *) echo "$text has blocks that nobody runs: \"$kind\"" >&2 && exit 1 ;;
    esac
  done < <(kinds "$text")
  blocks "$text" 'sh site: ' | bash -n
  commands=$(blocks "$text" 'sh$' | grep -vx "$skipped")
  bash -euxo pipefail -c "$commands" </dev/null
done
