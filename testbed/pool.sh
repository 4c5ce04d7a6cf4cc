#!/usr/bin/env bash
# pool.sh: the pool's Debian root (HTCondor, Apptainer, image registry), its namespaces, and the HTCondor daemons.
#   pool.sh build     the root, once            pool.sh start    namespaces and daemons
#   pool.sh soak on   lets $USER_IN become root inside, for tests that stop or configure daemons; `off` takes it back
#   pool.sh profile   writes and loads the intervals of $HTC_BED_PROFILE (quick or production)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=1 # raise it when the list of packages or the build below changes: the root is then built anew
PACKAGES="minicondor apptainer squashfuse fuse2fs docker-registry skopeo umoci busybox-static etcd-server
  python3-minimal openssh-server openssh-client openssl procps iproute2 curl jq ca-certificates"

mirror() { # the first site of the machine's own apt configuration that has what we need
  local site dist tmp
  tmp=$(mktemp -d)
  while read -r site; do
    for dist in "$SUITE" sid; do
      /usr/lib/apt/apt-helper download-file "$site/dists/$dist/InRelease" "$tmp/$dist" >/dev/null 2>&1 || continue 2
    done
    rm -rf "$tmp"
    printf '%s' "${site%/}"
    return
  done < <(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sort -u)
  rm -rf "$tmp"
  die "No site in this machine's apt sources carries Debian $SUITE and sid."
}

build() {
  [ "$(cat "$ROOT/.built" 2>/dev/null)" != "$VERSION" ] || return 0
  ! alive init || die "The pool's root must be built anew: testbed/testbed down, then up."
  local site new=$ROOT.new
  site=$(mirror)
  echo "Debian $SUITE from $site"
  rm -rf "$new"
  mkdir -p "$new"
  http_proxy=${http_proxy:-$(apt-config dump --format '%v' Acquire::http::Proxy)} \
    debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$new" "$site"
  cp /etc/resolv.conf "$new/etc/resolv.conf"
  apt-config dump | grep -E '^Acquire::(https?|Check)[-:]' >"$new/etc/apt/apt.conf.d/90machine" || true
  [ "$SUITE" = sid ] || { # Apptainer is there only
    echo "deb $site sid main contrib" >"$new/etc/apt/sources.list.d/sid.list"
    printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' >"$new/etc/apt/preferences.d/sid"
  }
  printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # no daemon starts by being installed
  chmod +x "$new/usr/sbin/policy-rc.d"
  chmod 711 "$new/root" # the repository may lie under /root

  # A mount namespace of its own: what is mounted for the build is gone with it, whatever happens.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive unshare --mount --pid --fork --kill-child bash -ec '
    new=$1; shift
    mount -t proc proc "$new/proc"
    chroot "$new" apt-get -o Acquire::Check-Valid-Until=false update -q
    chroot "$new" apt-get install -y -q --no-install-recommends "$@"
    chroot "$new" apt-get clean' - "$new" $PACKAGES
  chroot "$new" useradd --uid 1000 --home-dir "$HOMES/$USER_IN" --shell /bin/bash "$USER_IN"
  echo "$VERSION" >"$new/.built"
  rm -rf "$ROOT"
  mv "$new" "$ROOT"
}

configure() {
  local profile
  profile=${HTC_BED_PROFILE:-$(cat "$BED/profile" 2>/dev/null || echo quick)}
  [ -f "$HERE/condor/$profile.conf" ] || die "HTC_BED_PROFILE is quick or production, not \"$profile\"."
  echo "$profile" >"$BED/profile"
  sed "s/@PORT@/$CONDOR_PORT/g" "$HERE/condor/pool.conf" >"$ROOT/etc/condor/config.d/50-bed"
  cp "$HERE/condor/$profile.conf" "$ROOT/etc/condor/config.d/60-profile"
  # The machine's own name comes first, or every tool waits for DNS and the daemons call themselves localhost.
  echo "127.0.0.1 $(hostname) localhost" >"$ROOT/etc/hosts"
}

configuration() { cat "$ROOT"/etc/condor/config.d/[5-9]0-* 2>/dev/null || true; }

namespaces() {
  ! alive init || return 0
  local d
  install -d -o 1000 -g 1000 "$HOMES/$USER_IN"
  install -d -o 1000 -g 1000 -m 700 "$DATA"
  mkdir -p "$STATE/spool" "$LOG/condor" "$BED/bin" "$TARGET" "$IMAGES"
  chmod 1777 "$IMAGES"
  for d in "$BEDS" "$REPO" ${HTC_BED_BIND:-}; do mkdir -p "$ROOT$d"; done
  # shellcheck disable=SC2086
  spawn init unshare --mount --pid --fork --kill-child bash "$HERE/namespaces.sh" "$ROOT" "$STATE/spool" "$LOG/condor" \
    "$BEDS" "$REPO" ${HTC_BED_BIND:-}
  d=$(child_of $!) || die "The namespaces could not be made; see $LOG/init.log"
  wait_for 10 test -e "/proc/$d/root/run/bed-ready" || die "The namespaces could not be made; see $LOG/init.log"
  record init "$d"
}

stranger() { # another user of the pool, also in a root of before, and a token with which tests speak for him
  local tokens=$STATE/$STRANGER/tokens.d
  grep -q "^$STRANGER:" "$ROOT/etc/passwd" ||
    chroot "$ROOT" useradd --uid "$STRANGER_ID" --home-dir "$HOMES/$STRANGER" --shell /bin/bash "$STRANGER"
  install -d -o "$STRANGER_ID" -g "$STRANGER_ID" "$HOMES/$STRANGER"
  # HTCondor takes a token only from a file of the process's own user.
  install -d -o 1000 -g 1000 -m 700 "$STATE/$STRANGER" "$tokens"
  install -m 600 -o 1000 -g 1000 /dev/null "$tokens/$STRANGER.new"
  in_root / condor_token_create -identity "$STRANGER@$(in_root / condor_config_val UID_DOMAIN)" >"$tokens/$STRANGER.new"
  mv "$tokens/$STRANGER.new" "$tokens/$STRANGER"
}

soak() { # what a test leaves behind that was killed goes too
  local settings=$ROOT/etc/condor/config.d/90-soak become=$ROOT/usr/local/bin/bed-su
  rm -f "$become"
  [ "$1" = off ] || { install -m 4750 -o root -g 1000 "$ROOT/usr/bin/setpriv" "$become" && return; }
  ! alive condor_master || in_root / pkill -CONT -x condor_schedd || true
  [ -e "$settings" ] || return 0
  rm -f "$settings"
  ! alive condor_master || in_root / condor_restart -daemon schedd
}

scheduling() { [ -n "$(in_root / condor_status -schedd -af Name)" ] && [ -n "$(in_root / condor_status -af Name)" ]; }

start() {
  local before
  before=$(configuration)
  configure
  namespaces
  if ! alive condor_master; then
    soak off
    spawn_in condor_master condor_master -f
  elif [ "$before" != "$(configuration)" ]; then
    in_root / condor_reconfig
  fi
  wait_for 60 scheduling || die "HTCondor does not answer; see $LOG/condor/MasterLog"
  stranger
}

case ${1:?} in
  build | start) "$1" ;;
  soak) soak "${2:?}" ;;
  profile)
    configure
    in_root / condor_reconfig
    ;;
esac
