#!/usr/bin/env bash
# bed.sh: the bed as a whole: what it needs, up, down, and the commands for a shell outside; sourced.

requirements() { # operator, where that is to be built too
  [ "$(id -u)" = 0 ] || die "The test bed makes namespaces and mounts: run it as root."
  # Jobs have a /tmp and a /var/tmp of their own, in which nothing of the bed would be seen.
  case $(readlink -m "$BED")/ in /tmp/* | /var/tmp/*) die "HTC_BED must not be below /tmp or /var/tmp." ;; esac
  command -v apt-get >/dev/null && [ -e /etc/debian_version ] ||
    die "The test bed is built from Debian packages: it needs a Debian machine."
  [ "$(cat "$KUBE/bin/version" 2>/dev/null)" = "$KUBE_VERSION" ] ||
    at_least Go 1.24 "$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')"
  [ "${1:-}" != operator ] || at_least Rust 1.95 "$(cd "$REPO" && rustc --version 2>/dev/null | cut -d' ' -f2)"

  local wanted=(debootstrap:debootstrap pgrep:procps nsenter:util-linux flock:util-linux) missing=() tool
  [ "${1:-}" != operator ] || wanted+=(cc:gcc cc:libc6-dev)
  for tool in "${wanted[@]}"; do command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}"); done
  [ ${#missing[@]} = 0 ] || stage packages bash -c 'apt-get update -q &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"' - "${missing[@]}"
  [ -x "$KUBE/bin/kubectl" ] || [ "$(df --output=avail -k "$BED" | tail -1)" -gt 12000000 ] ||
    die "The builds need 12 GB free in $BED; HTC_BED names another folder."
}

ports() {
  # A master that was killed leaves its daemons behind; in our pid namespace every condor_* is ours.
  alive condor_master || ! alive init || in_root / pkill -KILL '^condor_' || true
  check_port condor_master "$CONDOR_PORT" HTC_BED_CONDOR_PORT
  check_port registry "$REGISTRY_PORT" HTC_BED_REGISTRY_PORT
  check_port etcd "$ETCD_PORT" HTC_BED_ETCD_PORT
  check_port etcd "$ETCD_PEER_PORT" HTC_BED_ETCD_PEER_PORT
  check_port kube-apiserver "$KUBE_PORT" HTC_BED_KUBE_PORT
  [ "${1:-}" != operator ] || check_port operator "$EVENTS_PORT" HTC_BED_EVENTS_PORT
  [ "${1:-}" != operator ] || check_port operator "$HEALTH_PORT" HTC_BED_HEALTH_PORT
  local now="$CONDOR_PORT $REGISTRY_PORT $ETCD_PORT $ETCD_PEER_PORT $KUBE_PORT"
  ! alive init || [ "$(cat "$RUN/ports" 2>/dev/null)" = "$now" ] ||
    die "The bed is up on other ports: testbed/testbed down first."
  echo "$now" >"$RUN/ports"
}

lock() {
  exec 9>"$BED/lock"
  local waited=0
  until flock --timeout "$((waited ? 15 : 1))" 9; do
    say "Another up or down of this bed is under way; waiting for it, $waited s"
    waited=$((waited ? waited + 15 : 1))
  done
}

up() { # with "operator": builds and starts that too
  local builds=("pool root" "$HERE/pool.sh" build -- "kube build" "$HERE/kube.sh" build)
  [ "$(id -u)" != 0 ] || { mkdir -p "$BED" "$RUN" "$LOG" "$STATE" && lock; }
  requirements "$@"
  # Inside, only the checkout is seen for which the namespaces were made, and tests read their own files.
  if alive init && [ ! -e "/proc/$(pid_of init)/root$REPO/Makefile" ]; then
    say "The bed is up for another checkout: starting it again for this one."
    down
    lock
  fi
  ports "$@"
  say "Test bed in $BED, logs in $LOG"
  [ "${1:-}" != operator ] || builds+=(-- "operator build" "$HERE/build.sh")
  stages "${builds[@]}"
  stage pool "$HERE/pool.sh" start
  stages registry "$HERE/images.sh" start -- kube "$HERE/kube.sh" start
  stage images "$HERE/images.sh" build
  wrappers
  [ "${1:-}" != operator ] || stage operator "$HERE/operator.sh" start
  exec 9>&-
}

down() {
  [ "$(id -u)" = 0 ] || die "The test bed is root's: run this as root."
  [ -d "$RUN" ] || return 0
  lock
  "$HERE/operator.sh" stop
  "$HERE/kube.sh" stop
  stop registry
  stop condor_master QUIT 20 # fast: running jobs go back to idle
  stop init KILL             # takes whatever else lives in the namespaces along
}

wrappers() { # commands for a shell outside: each enters the root as the submitting user
  local tools=$BED/tools tool
  rm -rf "$tools.new"
  mkdir -p "$tools.new"
  printf '#!/bin/sh\nHTC_BED=%q HTC_BED_SUITE=%q HTC_DATA_DIR=${HTC_DATA_DIR:-%q} exec %q as %q "${0##*/}" "$@"\n' \
    "$BEDS" "$SUITE" "$DATA" "$HERE/testbed" "$USER_IN" >"$tools.new/.enter"
  chmod +x "$tools.new/.enter"
  for tool in "$ROOT"/usr/bin/condor_* "$ROOT"/usr/sbin/condor_{on,off,reconfig,restart} apptainer htc-operator; do
    ln -s .enter "$tools.new/${tool##*/}"
  done
  ln -s "$KUBE/bin/kubectl" "$tools.new/kubectl"
  rm -rf "$tools"
  mv "$tools.new" "$tools"
}

kubectl() { "$KUBE/bin/kubectl" --kubeconfig "$STATE/kube/admin.conf" "$@"; }
operator() { HTC_DATA_DIR=$DATA "$HERE/testbed" as "$USER_IN" htc-operator "$@"; }

how_to_play() {
  cat >&2 <<C

A shell with kubectl, the condor_* tools and htc-operator:
  eval "\$($HERE/testbed env)"
Then, for example:
  kubectl apply -f $REPO/examples/queue.yaml && kubectl get htcjobs --watch
  condor_q                                # the same jobs as HTCondor sees them
  htc-operator logs default/queue/3
  kubectl delete htcjob queue             # takes its HTCondor jobs along
  curl -H "Authorization: Bearer \$(cat \$HTC_INTERLINK_TOKEN_FILE)" -d '[]' \$HTC_INTERLINK_URL/status   # InterLink's ping
  make -C $REPO down  # ends bed and operator, keeps the state
C
}
