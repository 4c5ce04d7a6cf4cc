#!/usr/bin/env bash
# kube.sh: the control plane on loopback: keys, kubeconfigs, etcd, kube-apiserver, -controller-manager, -scheduler.
#   kube.sh build | start | stop
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

KEYS=$STATE/kube
SERVER=https://127.0.0.1:$KUBE_PORT
AUDIT=$LOG/audit/audit.log
ISSUER=https://kubernetes.default.svc.cluster.local

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
openssl_in() { in_root "$KEYS" openssl "$@" 2>>"$LOG/keys.log"; }

certificate() { # NAME SUBJECT EXTENSIONS: signed by our CA; made anew when it does not verify today
  [ ! -s "$KEYS/$1.crt" ] || ! openssl_in verify -CAfile ca.crt "$1.crt" >/dev/null || return 0
  openssl_in req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
  printf '%s\n' "$3" >"$KEYS/$1.ext"
  openssl_in x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt"
  rm "$KEYS/$1.csr" "$KEYS/$1.ext"
}

keys() {
  local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1
  local admin manager scheduler
  mkdir -p "$KEYS"
  : >"$LOG/keys.log"
  openssl_in verify -CAfile ca.crt ca.crt >/dev/null ||
    openssl_in req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=htc-testbed-ca -days 3650
  certificate apiserver /CN=kube-apiserver "subjectAltName=$names"
  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client extendedKeyUsage=clientAuth
  [ -s "$KEYS/sa.pub" ] || {
    openssl_in genrsa -out sa.key 2048
    openssl_in rsa -in sa.key -pubout -out sa.pub
  }
  if [ ! -s "$KEYS/tokens.csv" ]; then
    admin=$(random) manager=$(random) scheduler=$(random)
    cat >"$KEYS/tokens.new" <<C
$admin,admin,admin,system:masters
$manager,system:kube-controller-manager,system:kube-controller-manager
$scheduler,system:kube-scheduler,system:kube-scheduler
C
    mv "$KEYS/tokens.new" "$KEYS/tokens.csv"
  fi
  for name in admin controller-manager scheduler; do kubeconfig "$name" "$(token "$name")"; done
  chmod 600 "$KEYS"/*.key "$KEYS/tokens.csv"
}

token() { awk -F, -v u="$1" '$2 == u || $2 == "system:kube-" u { print $1 }' "$KEYS/tokens.csv"; }

kubeconfig() { # NAME TOKEN: those of people and of the operator are readable by the user inside
  install -m 600 /dev/null "$KEYS/$1.new"
  cat >"$KEYS/$1.new" <<C
apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    server: $SERVER
    certificate-authority-data: $(base64 -w0 "$KEYS/ca.crt")
users:
- name: $1
  user:
    token: $2
contexts:
- name: testbed
  context: {cluster: testbed, user: $1, namespace: default}
current-context: testbed
C
  case $1 in admin | operator) chgrp 1000 "$KEYS/$1.new" && chmod 640 "$KEYS/$1.new" ;; esac
  mv "$KEYS/$1.new" "$KEYS/$1.conf"
}

kubectl() { "$KUBE/bin/kubectl" --kubeconfig "$KEYS/admin.conf" "$@"; }

audit() { # what the operator asks of the API server is written down, for tests that count it
  alive kube-apiserver || install -D -g 1000 -m 640 /dev/null "$AUDIT"
  chgrp 1000 "${AUDIT%/*}" && chmod 750 "${AUDIT%/*}"
  cat >"$KEYS/audit.yaml" <<C
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: ["system:serviceaccount:htc-operator:htc-operator"]
- level: None
C
}

daemon() { # NAME CMD…
  local name=$1
  shift
  alive "$name" || spawn_in "$name" "$@"
}

start() {
  keys
  audit
  # The disk need not be waited for: after a power cut the whole bed is one state to be wiped.
  daemon etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "default=http://127.0.0.1:$ETCD_PEER_PORT"
  daemon kube-apiserver "$KUBE/bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$ETCD_PORT" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$KUBE_PORT" --endpoint-reconciler-type none \
    --tls-cert-file "$KEYS/apiserver.crt" --tls-private-key-file "$KEYS/apiserver.key" --client-ca-file "$KEYS/ca.crt" \
    --token-auth-file "$KEYS/tokens.csv" --anonymous-auth=false --authorization-mode Node,RBAC \
    --service-account-issuer "$ISSUER" --service-account-key-file "$KEYS/sa.pub" --service-account-signing-key-file "$KEYS/sa.key" \
    --service-cluster-ip-range 10.96.0.0/16 --enable-admission-plugins NodeRestriction --allow-privileged=true \
    --kubelet-client-certificate "$KEYS/kubelet-client.crt" --kubelet-client-key "$KEYS/kubelet-client.key" \
    --kubelet-preferred-address-types InternalIP,Hostname \
    --audit-policy-file "$KEYS/audit.yaml" --audit-log-path "$AUDIT" --audit-log-maxsize 20 --audit-log-maxbackup 1
  wait_up kube-apiserver 60 kubectl get --raw /readyz
  # Without the limits below the controllers make 20 calls a second: 500 pods would take 25 s.
  daemon kube-controller-manager "$KUBE/bin/kube-controller-manager" --kubeconfig "$KEYS/controller-manager.conf" \
    --leader-elect=false --secure-port 0 --kube-api-qps 1000 --kube-api-burst 2000 --use-service-account-credentials \
    --service-account-private-key-file "$KEYS/sa.key" --root-ca-file "$KEYS/ca.crt" \
    --cluster-signing-cert-file "$KEYS/ca.crt" --cluster-signing-key-file "$KEYS/ca.key" --allocate-node-cidrs=false \
    --controllers '*,-nodeipam,-cloud-node-lifecycle-controller,-node-route-controller,-service-lb-controller'
  cat >"$KEYS/scheduler.yaml" <<C
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: "$KEYS/scheduler.conf", qps: 1000, burst: 2000}
C
  daemon kube-scheduler "$KUBE/bin/kube-scheduler" --config "$KEYS/scheduler.yaml" --secure-port 0
  wait_for 60 kubectl get serviceaccount default || die "No service account appears; see $LOG/kube-controller-manager.log"
  operator_account
}

operator_account() { # the CRD, and the operator's identity with the rights of deploy/ and no others
  kubectl apply -f "$REPO/deploy/namespace.yaml" -f "$REPO/deploy/rbac.yaml"
  kubectl apply --server-side --force-conflicts -f "$REPO/crds/htcjob.yaml"
  kubeconfig operator "$(kubectl create token htc-operator --namespace htc-operator --duration 8760h)"
}

stop_all() {
  stop kube-scheduler
  stop kube-controller-manager
  stop kube-apiserver
  stop etcd
}

case ${1:?} in
  build) "$HERE/kube-build.sh" "$KUBE_VERSION" "$KUBE" ;;
  start) start ;;
  stop) stop_all ;;
esac
