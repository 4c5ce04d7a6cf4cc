#!/usr/bin/env bash
# undeploy.sh: takes everything out of the cluster that KUBECONFIG names, in the order in which nothing is forgotten in
# the pool: the HTCJobs while the operator can still remove their jobs, their CRD, then the operator itself.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

PATIENCE=${HTC_UNDEPLOY_SECONDS:-300} # for each step
CRD=customresourcedefinition/htcjobs.htc.cern.ch

say() { printf '%s\n' "$@" >&2; }

stuck() {
  say "" "Not all of it is gone after $PATIENCE s. These HTCJobs are left:"
  kubectl get htcjobs --all-namespaces --output \
    jsonpath='{range .items[*]}  {.metadata.namespace}/{.metadata.name}: {.status.message}{"\n"}{end}' >&2 || true
  say "Is the operator running, and does its pool answer? Then run this again." \
    "An HTCJob that must go though its jobs cannot be removed now:" \
    "  kubectl annotate htcjob --namespace NAMESPACE NAME htc.cern.ch/abandon-jobs=true"
  exit 1
}

{ # read as a whole, so that an edit meanwhile does no harm
say "Cluster: $(kubectl config current-context), $(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}')"
if [ -n "$(kubectl get "$CRD" --ignore-not-found --output name)" ]; then
  say "" "1. The HTCJobs. The operator removes their HTCondor jobs and their files."
  kubectl delete htcjobs --all --all-namespaces --timeout "${PATIENCE}s" || stuck
  say "" "2. The CRD, with what was created meanwhile."
  kubectl delete "$CRD" --timeout "${PATIENCE}s" || stuck
else
  say "" "There is no CRD, and so there are no HTCJobs."
fi
say "" "3. The operator: its namespace with all that is in it, its volume and Secrets too, and its rights."
kubectl delete --kustomize . --ignore-not-found --timeout "${PATIENCE}s"
say "" "Nothing is left."
exit
}
