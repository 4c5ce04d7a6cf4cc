#!/usr/bin/env bash
# lib.sh: settings, messages, pid files, ports and the way into the bed's root; sourced by the other scripts.
# shellcheck disable=SC2034 # the settings are for the others
set -Eeuo pipefail
# In a stage, whose output is a log, a failure names its line.
[ -z "${HTC_BED_STAGE:-}" ] || trap 'printf "%s, line %s, failed: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$HERE")

# Everything the beds make lies here, outside the repository, and may be deleted while they are down.
BEDS=${HTC_BED:-/var/cache/htc-operator}
[ "${HTC_USE_MINE:-}" != 1 ] || BEDS=${HTC_BED:-${XDG_CACHE_HOME:-$HOME/.cache}/htc-operator}
BEDS=${BEDS%/}
KUBE=$BEDS/kube     # sources, caches and binaries of the control plane
TARGET=$BEDS/target # cargo's
# The Debian suite of the pool's root, which decides HTCondor's version. The bed of sid stands beside the first one.
SUITE=${HTC_BED_SUITE:-trixie}
case $SUITE in
  trixie) BED=$BEDS PORTS=0 ;;
  sid) BED=$BEDS/sid PORTS=10000 ;;
  *) printf 'HTC_BED_SUITE is trixie or sid, not "%s".\n' "$SUITE" >&2 && exit 1 ;;
esac
ROOT=$BED/root   # the Debian root of the pool
STATE=$BED/state # etcd, spool, operator data and keys: one state, kept (down) or lost (wipe) together
DATA=$STATE/operator
RUN=$BED/run     # pid files
LOG=$BED/log
USER_IN=alice    # the ordinary user who submits
STRANGER=bob     # another user of the pool, who is a stranger to alice
STRANGER_ID=1001
HOMES=$BED/home
IMAGES=$BED/worker-images # of the jobs of all users

KUBE_VERSION=${HTC_BED_KUBE_VERSION:-1.34.4}
KUBE_PORT=${HTC_BED_KUBE_PORT:-$((PORTS + 6443))}
ETCD_PORT=${HTC_BED_ETCD_PORT:-$((PORTS + 2379))}
ETCD_PEER_PORT=${HTC_BED_ETCD_PEER_PORT:-$((PORTS + 2380))}
CONDOR_PORT=${HTC_BED_CONDOR_PORT:-$((PORTS + 9618))}
REGISTRY_PORT=${HTC_BED_REGISTRY_PORT:-$((PORTS + 5000))}
EVENTS_PORT=${HTC_BED_EVENTS_PORT:-$((PORTS + 8080))}
HEALTH_PORT=${HTC_BED_HEALTH_PORT:-$((PORTS + 8081))}
INTERLINK_PORT=${HTC_BED_INTERLINK_PORT:-$((PORTS + 3000))}
INTERLINK=127.0.0.2:$INTERLINK_PORT # some released callers refuse 127.0.0.1

PATH_IN=$BED/bin:$KUBE/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
OWN=("PATH=$PATH_IN" HOME=/root LANG=C.UTF-8) # all that daemons and the bed's own commands inside know of this shell

say() { printf '%s\n' "$@" >&2; }
die() { say "$*"; exit 1; }

[[ $BEDS == /?*/?* ]] || die "HTC_BED must be an absolute path of a folder of the bed's own, not \"$BEDS\"." # it is removed with rm -rf

# --- processes: a pid file holds "pid start-time boot-id", so that a number used again by another process is never taken for ours

boot_id() { cat /proc/sys/kernel/random/boot_id; }
start_time() { # of a pid: the 22nd field of stat, counted after the name, which may hold anything
  local stat
  read -r stat <"/proc/$1/stat" || return 1
  # shellcheck disable=SC2086 # split into words
  set -- ${stat##*) }
  printf '%s' "${20}"
} 2>/dev/null

pid_of() { # prints the pid of a process of ours that is alive
  local pid start boot
  read -r pid start boot <"$RUN/$1.pid" || return 1
  [ "$boot" = "$(boot_id)" ] && [ "$start" = "$(start_time "$pid")" ] && printf '%s' "$pid"
} 2>/dev/null

alive() { pid_of "$1" >/dev/null; }
record() { printf '%s %s %s\n' "$2" "$(start_time "$2")" "$(boot_id)" >"$RUN/$1.pid"; }

spawn() { # NAME CMD…: starts CMD in the background in a session of its own; the log of the time before is kept as .old
  local name=$1
  shift
  [ ! -s "$LOG/$name.log" ] || mv "$LOG/$name.log" "$LOG/$name.log.old"
  setsid "$@" >"$LOG/$name.log" 2>&1 </dev/null 9>&- &
}

spawn_in() { # NAME CMD…: the same inside the root, as root; the pid file names the process itself, not its nsenter
  local name=$1 pid child
  shift
  pid=$(init) || exit 1
  spawn "$name" nsenter --target "$pid" --mount --pid --wdns=/ env -i "${OWN[@]}" "$@"
  child=$(child_of $!) || die "$name did not start; see $LOG/$name.log"
  record "$name" "$child"
}

child_of() { # the first child of a process, waited for
  local child
  for _ in $(seq 100); do
    child=$(pgrep --parent "$1" | head -1) && [ -n "$child" ] && { printf '%s' "$child"; return; }
    sleep 0.05
  done
  return 1
}

stop() { # NAME [SIGNAL [SECONDS]]: asks, waits, then kills
  local pid
  if pid=$(pid_of "$1"); then
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq $((${3:-10} * 10))); do
      alive "$1" || break
      sleep 0.1
    done
    ! alive "$1" || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$RUN/$1.pid"
}

port_used() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

check_port() { # NAME PORT SETTING: a port of a process of ours that is down must be free
  alive "$1" || ! port_used "$2" ||
    die "Port $2 ($1) is used by another process: end it, or choose another port with $3."
}

wait_for() { # SECONDS CMD…: repeats CMD until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

wait_up() { # NAME SECONDS CMD…: the same, for a process of ours: once it has ended there is nothing to wait for
  local name=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    alive "$name" && [ "$SECONDS" -lt "$end" ] || die "$name $(alive "$name" && echo "is not ready" || echo "has ended"); see $LOG/$name.log"
    sleep 0.2
  done
}

# --- the way in

init() { pid_of init || die "The test bed is down: testbed/testbed up"; }

in_root() { # FOLDER CMD…: as root; for the bed's own work
  local folder=$1 pid
  shift
  pid=$(init) || exit 1
  nsenter --target "$pid" --mount --pid --wdns="$folder" env -i "${OWN[@]}" "$@"
}

cwd_in() { [ -d "/proc/$1/root$PWD" ] && printf '%s' "$PWD" || printf '/'; }

environment() { # the variables that come along, and those that must be right inside, NUL-ended
  local name
  for name in $(compgen -e); do
    case $name in
      HTC_BED | HTC_BED_SUITE | HTC_BED_STAGE) ;;
      HTC_* | KUBECONFIG | RUST_* | CARGO_* | PROPTEST_* | INSTA_* | NEXTEST | NEXTEST_* | LLVM_PROFILE_FILE | _CONDOR_* | \
        TERM | LANG | LC_* | TZ | CI | NO_COLOR) printf '%s=%s\0' "$name" "${!name}" ;;
    esac
  done
  [ -n "${KUBECONFIG:-}" ] && [ -e "/proc/$(init)/root$KUBECONFIG" ] || printf 'KUBECONFIG=%s\0' "$STATE/kube/admin.conf"
  printf 'HTC_BED=%s\0' "$BED" # inside there is only this one
  printf 'USER=%s\0LOGNAME=%s\0HOME=%s\0SHELL=/bin/bash\0' "$1" "$1" "$2"
  printf 'PATH=%s\0' "$PATH_IN"
}

enter() { # USER CMD…: becomes CMD inside the root: same arguments, same folder where it exists, same stdin, stdout and exit code
  local user=$1 pid home env drop=()
  shift
  pid=$(init) || exit 1
  home=$(awk -F: -v u="$user" '$1 == u { print $6 }' "$ROOT/etc/passwd")
  [ -n "$home" ] || die "There is no user $user inside the bed."
  mapfile -d '' env < <(environment "$user" "$home")
  [ "$user" = root ] || drop=(--reuid "$user" --regid "$user" --init-groups)
  exec nsenter --target "$pid" --mount --pid --wdns="$(cwd_in "$pid")" \
    env -i "${env[@]}" setpriv --pdeathsig TERM "${drop[@]}" -- "$@"
}

at_least() { # TOOL WANTED FOUND
  [ -n "$3" ] && [ "$(printf '%s\n%s\n' "$2" "$3" | sort -V | head -1)" = "$2" ] ||
    die "This needs $1 $2 or newer; found: ${3:-none}."
}
