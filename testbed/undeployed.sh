#!/usr/bin/env bash
# undeployed.sh: `make undeploy` while HTCJobs run by the bed's operator: then there is nothing of it in the cluster, and
# nothing in the queue.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export KUBECONFIG=$STATE/kube/admin.conf PATH=$KUBE/bin:$PATH
namespace=undeployed

job() { # NAME COPIES
  cat <<C
apiVersion: htc.cern.ch/v1alpha1
kind: HTCJob
metadata: {name: $1, namespace: $namespace}
spec: {name: $1, queue: $2, script: {image: host, command: bash, source: sleep 1000}}
C
}

none() { # WHAT CMD…: CMD prints nothing
  local what=$1 left
  shift
  left=$("$@")
  [ -z "$left" ] || die "$what: $left"
}

instance=$(kubectl get namespace kube-system --output 'jsonpath={.metadata.uid}')
queue() { "$HERE/testbed" as "$USER_IN" condor_q -allusers -autoformat ClusterId ProcId -constraint "HTCOperatorInstance == \"$instance\""; }

# What the bed itself needs of it comes back, whatever happens.
trap '"$HERE/operator.sh" stop; "$HERE/kube.sh" start' EXIT
"$HERE/operator.sh" start
kubectl create namespace $namespace
{ job one 1; echo ---; job three 3; } | kubectl apply --filename -
kubectl wait htcjob --namespace $namespace --all --for 'jsonpath={.status.phase}=Running' --timeout 120s

# Nobody removes the jobs: it says so, and what can be done.
"$HERE/operator.sh" stop
if said=$(HTC_UNDEPLOY_SECONDS=3 make --no-print-directory -C "$REPO" undeploy 2>&1); then die "It went without the operator: $said"; fi
for words in "$namespace/one: " "$namespace/three: " "htc.cern.ch/abandon-jobs=true"; do
  [[ $said == *"$words"* ]] || die "\"$words\" is missing: $said"
done
"$HERE/operator.sh" start
make --no-print-directory -C "$REPO" undeploy
none "in the queue" queue
none "CRD" kubectl get customresourcedefinition/htcjobs.htc.cern.ch --ignore-not-found --output name
none "namespace" kubectl get namespace htc-operator --ignore-not-found --output name
none "rights" kubectl get clusterrole,clusterrolebinding --field-selector metadata.name=htc-operator --output name
say "" "A second time there is nothing to do:"
make --no-print-directory -C "$REPO" undeploy
kubectl delete namespace $namespace
