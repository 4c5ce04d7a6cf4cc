#!/usr/bin/env bash
# mine.sh: in place of bed.sh with HTC_USE_MINE=1: the user's own Kubernetes cluster and HTCondor pool; sourced.
# The operator runs as the user, as long as the command does; its data, key and log stay in $BED.

up() {
  local tool
  [ "$(id -u)" != 0 ] || die "HTCondor takes no jobs of root: with HTC_USE_MINE=1 run this as an ordinary user."
  for tool in cargo cc curl kubectl condor_submit condor_status condor_config_val; do
    command -v "$tool" >/dev/null || die "HTC_USE_MINE=1 needs $tool, and it is not on the PATH."
  done
  names
  mkdir -p "$BED" "$RUN" "$LOG" "$DATA"
  chmod 700 "$STATE"
  ! alive operator || die "An operator of yours runs already, pid $(pid_of operator)."
  check_port operator "$EVENTS_PORT" HTC_BED_EVENTS_PORT
  check_port operator "$HEALTH_PORT" HTC_BED_HEALTH_PORT
  stage "operator build" "$HERE/build.sh"
  kubectl apply --server-side -f "$REPO/crds/htcjob.yaml" -f "$REPO/deploy/namespace.yaml" -f "$REPO/deploy/rbac.yaml" >&2
  kubectl wait --for condition=Established --timeout 30s customresourcedefinition/htcjobs.htc.cern.ch >&2
  rights
  run
}

names() {
  local context pool
  context=$(kubectl config current-context) || die "There is no current Kubernetes context: set KUBECONFIG."
  say "Kubernetes: context $context, $(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}')"
  pool=$(condor_config_val COLLECTOR_HOST) || die "HTCondor is not configured here: condor_config_val COLLECTOR_HOST fails."
  say "HTCondor: collector $pool, schedd $(condor_status -schedd -autoformat Name | paste -sd' ')"
  kubectl get --raw /readyz >/dev/null || die "The Kubernetes API does not answer."
}

rights() { # a kubeconfig of the operator's own service account, so that it has the rights of deploy/rbac.yaml and not the user's
  local file=$STATE/operator.conf token user
  token=$(kubectl create token htc-operator --namespace htc-operator --duration 24h)
  install -m 600 /dev/null "$file"
  kubectl config view --minify --flatten --raw >"$file"
  user=$(kubectl --kubeconfig "$file" config view --output 'jsonpath={.users[0].name}')
  {
    kubectl --kubeconfig "$file" config unset "users.$user" || true
    kubectl --kubeconfig "$file" config set-credentials htc-operator --token "$token"
    kubectl --kubeconfig "$file" config set-context --current --user htc-operator
  } >/dev/null
}

run() {
  local key=$STATE/master.key
  [ -s "$key" ] || {
    install -m 600 /dev/null "$key"
    printf 'k1:%s\n' "$(head -c 32 /dev/urandom | base64 -w0)" >"$key"
  }
  KUBECONFIG=$STATE/operator.conf HTC_DATA_DIR=$DATA HTC_MASTER_KEY_FILE=$key HTC_SENDER=$BED/bin/htc-sender \
    HTC_EVENTS_LISTEN=${HTC_EVENTS_LISTEN:-0.0.0.0:$EVENTS_PORT} \
    HTC_EVENTS_URL=${HTC_EVENTS_URL:-http://$(hostname --fqdn):$EVENTS_PORT} \
    HTC_HEALTH_LISTEN=127.0.0.1:$HEALTH_PORT spawn operator "$BED/bin/htc-operator" serve
  record operator $!
  trap 'stop operator TERM 20' EXIT
  trap 'exit 130' INT TERM
  wait_up operator 60 curl --silent --fail "http://127.0.0.1:$HEALTH_PORT/readyz"
}

operator() { HTC_DATA_DIR=$DATA "$BED/bin/htc-operator" "$@"; }

stay() {
  say "" "The operator runs until you press Ctrl-C; its log: $LOG/operator.log"
  while alive operator; do sleep 1; done
  die "The operator has ended; see $LOG/operator.log"
}

how_to_play() {
  cat >&2 <<C

While the operator runs (HTC_USE_MINE=1 make up), in another shell:
  kubectl apply -f $REPO/examples/queue.yaml && kubectl get htcjobs --watch
  condor_q
  HTC_DATA_DIR=$DATA $BED/bin/htc-operator logs $(kubectl config view --minify --output 'jsonpath={..namespace}' | grep . || echo default)/queue/3
  kubectl delete htcjob queue             # takes its HTCondor jobs along
C
}
