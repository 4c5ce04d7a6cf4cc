#!/usr/bin/env bash
# make.sh COMMIT: makes the fixtures of a release with that release's own engine, program and schema.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
commit=$(git -C "$here" rev-parse --short=7 "$1")
sources=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$sources"' EXIT
git -C "$here" worktree add --quiet --detach "$sources" "$commit"
claims=$sources/tests/scripted/claims
cp "$here/making.rs" "$claims/"
sed -i 's/^mod logs;/&\nmod making;/; s/^ *logs::all(),/&\n        making::all(),/' "$claims/mod.rs"
out=$here/$commit
mkdir -p "$out"
cp "$sources/crds/htcjob.yaml" "$out/"
cd "$sources"
HTC_FIXTURES=$out cargo test --locked --package htc-operator --test scripted -- making::
for command in serve interlink doctor logs jobs crd; do
  cargo run --locked --quiet --bin htc-operator -- "$command" --help |
    grep -oE -- '--[a-z][a-z0-9-]+|\[env: [A-Z0-9_]+' | sed "s/^\[env: //; s/^/$command /" | sort -u
done >"$out/settings.txt"
