#!/usr/bin/env bash
# build.sh: builds the operator for this machine and the static in-job sender, and puts both into the bed's binaries folder.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_changed() { # whole or not at all; an unchanged file stays, so that a running operator is not started again
  cmp -s "$1" "$BED/bin/${1##*/}" && return
  install -m 755 "$1" "$BED/bin/.${1##*/}.new"
  mv "$BED/bin/.${1##*/}.new" "$BED/bin/${1##*/}"
}

at_least Rust 1.95 "$(cd "$REPO" && rustc --version 2>/dev/null | cut -d' ' -f2)"
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$BED/bin"
cd "$REPO"
export CARGO_TARGET_DIR=$BED/target
cargo build --locked --release -p htc-operator --bin htc-operator
# Only with an explicit target do the flags spare build scripts and procedural macros.
RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile sender -p htc-sender --target "$host"
install_changed "$BED/target/release/htc-operator"
install_changed "$BED/target/$host/sender/htc-sender"
