#!/usr/bin/env bash
# operator.sh: the operator, run inside the root as the submitting user with the rights of deploy/rbac.yaml.
#   operator.sh start | stop | status
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BINARY=$BED/bin/htc-operator
KEY=$STATE/master.key
TOKEN=$STATE/interlink.token

ready() { in_root / curl --silent --fail "http://127.0.0.1:$HEALTH_PORT/readyz"; }

kubectl() { "$KUBE/bin/kubectl" --kubeconfig "$STATE/kube/admin.conf" "$@"; }

start() {
  kubectl apply --server-side --force-conflicts -f "$REPO/crds/htcjob.yaml"
  kubectl wait --for condition=Established --timeout 30s customresourcedefinition/htcjobs.htc.cern.ch
  [ -x "$BINARY" ] || die "There is no $BINARY: testbed/build.sh"
  local env version
  version=$(cksum "$BINARY" "$BED/bin/htc-sender")
  if alive operator && [ "$(cat "$RUN/operator.version")" != "$version" ]; then
    say "The operator was built anew: starting it again."
    stop operator TERM 20
  fi
  if ! alive operator; then
    check_port operator "$EVENTS_PORT" HTC_BED_EVENTS_PORT
    check_port operator "$HEALTH_PORT" HTC_BED_HEALTH_PORT
    check_port operator "$INTERLINK_PORT" HTC_BED_INTERLINK_PORT
    [ -s "$KEY" ] || {
      install -m 600 -o 1000 -g 1000 /dev/null "$KEY.new"
      printf 'k1:%s\n' "$(head -c 32 /dev/urandom | base64 -w0)" >"$KEY.new"
      mv "$KEY.new" "$KEY"
    }
    [ -s "$TOKEN" ] || {
      install -m 600 -o 1000 -g 1000 /dev/null "$TOKEN.new"
      # Without a line end: released virtual kubelets send the file as it is.
      head -c 32 /dev/urandom | base64 -w0 >"$TOKEN.new"
      mv "$TOKEN.new" "$TOKEN"
    }
    mapfile -d '' env < <(
      environment "$USER_IN" "$HOMES/$USER_IN"
      printf '%s\0' "KUBECONFIG=$STATE/kube/operator.conf" "HTC_DATA_DIR=$DATA" "HTC_MASTER_KEY_FILE=$KEY" \
        "HTC_EVENTS_LISTEN=127.0.0.1:$EVENTS_PORT" "HTC_EVENTS_URL=http://127.0.0.1:$EVENTS_PORT" \
        "HTC_HEALTH_LISTEN=127.0.0.1:$HEALTH_PORT" "HTC_SENDER=$BED/bin/htc-sender" \
        "HTC_INTERLINK_LISTEN=$INTERLINK" "HTC_INTERLINK_TOKEN_FILE=$TOKEN" "HTC_IMAGE_CACHE=$IMAGES" \
        "HTC_HOST_IMAGE_NAMESPACES=*"
    )
    echo "$version" >"$RUN/operator.version"
    spawn_in operator env -i "${env[@]}" setpriv --reuid "$USER_IN" --regid "$USER_IN" --init-groups -- "$BINARY" serve
  fi
  wait_up operator 60 ready
}

status() {
  alive operator || die "The operator is down."
  echo "up, pid $(pid_of operator): $(ready)"
}

case ${1:-} in
  start | status) "$1" ;;
  stop) stop operator TERM 20 ;;
  *) die "testbed/testbed operator start|stop|status" ;;
esac
