#!/usr/bin/env bash
# build.sh: builds the operator for this machine and the static in-job sender, or only the `sender`, and puts them into
# the bed's binaries folder.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_changed() { # whole or not at all; an unchanged file stays, so that a running operator is not started again
  cmp -s "$1" "$BED/bin/${1##*/}" && return
  install -m 755 "$1" "$BED/bin/.${1##*/}.new"
  mv "$BED/bin/.${1##*/}.new" "$BED/bin/${1##*/}"
}

{ # read as a whole, so that an edit meanwhile does no harm
at_least Rust 1.95 "$(cd "$REPO" && rustc --version 2>/dev/null | cut -d' ' -f2)"
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$BED/bin"
cd "$REPO"
export CARGO_TARGET_DIR=$TARGET
# The sender is static: with musl where Rust has that target, else with glibc, which makes it larger. Only with
# an explicit target do the flags spare build scripts and procedural macros.
musl=${host/-gnu/-musl}
if [ -d "$(rustc --print sysroot)/lib/rustlib/$musl" ]; then
  target=$musl
  export "CC_${musl//-/_}=gcc" "CFLAGS_${musl//-/_}=-fno-asynchronous-unwind-tables -fno-unwind-tables"
  flags='-C relocation-model=static'
else
  target=$host
  flags='-C target-feature=+crt-static -C relocation-model=static'
fi
# It aborts instead of unwinding: what unwinding needs can go.
flags="$flags -C force-unwind-tables=no -C link-arg=-Wl,--build-id=none,-z,noseparate-code,--no-eh-frame-hdr"
CARGO_ENCODED_RUSTFLAGS="${flags// /$'\x1f'}" cargo build --locked --profile sender -p htc-sender --target "$target"
install_changed "$TARGET/$target/sender/htc-sender"
[ "${1:-}" != sender ] || exit 0
cargo build --locked --release -p htc-operator --bin htc-operator
install_changed "$TARGET/release/htc-operator"
exit
}
