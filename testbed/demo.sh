#!/usr/bin/env bash
# demo.sh: one HTCJob from nothing to its log, shown as it happens: on the bed, or with HTC_USE_MINE=1 on the user's own cluster and pool.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
. "$HERE/stages.sh"
if [ "${HTC_USE_MINE:-}" = 1 ]; then . "$HERE/mine.sh"; else . "$HERE/bed.sh"; fi

look() { # one line: phase, counts, jobs, conditions
  kubectl get htcjob zero --output jsonpath='phase {.status.phase}, active {.status.active}, succeeded {.status.succeeded}, failed {.status.failed}, jobid {.status.jobid}{range .status.conditions[*]}, {.type}={.status}{end}' 2>&1
}

watch() { # a line for every change, until the HTCJob has ended
  local before='' now last=$SECONDS end=$((SECONDS + 300))
  while :; do
    now=$(look) || true
    [ "${now#phase ,}" = "$now" ] || now="seen by the API server only"
    if [ "$now" != "$before" ]; then
      say "  $(date +%T)  $now"
      before=$now last=$SECONDS
    fi
    case $now in
      *"phase Succeeded"*) return ;;
      *"phase Failed"*) die "The HTCJob failed; see kubectl describe htcjob zero and $LOG/operator.log" ;;
    esac
    [ "$SECONDS" -lt "$end" ] || die "The HTCJob has not ended after 5 minutes; see $LOG/operator.log"
    [ $((SECONDS - last)) -lt 15 ] || { say "  $(date +%T)  no change for $((SECONDS - last)) s" && last=$SECONDS; }
    sleep 0.3
  done
}

log() { operator logs "$(namespace)/zero"; }
namespace() { kubectl config view --minify --output 'jsonpath={..namespace}' | grep . || echo default; }

{ # read as a whole, so that an edit meanwhile does no harm
up operator
began=$SECONDS
if kubectl get htcjob zero >/dev/null 2>&1; then
  say "" "There is an HTCJob zero from before: deleting it"
  kubectl delete htcjob zero --timeout 120s >&2
fi
say "" "\$ kubectl apply -f examples/retcode/zero.yaml"
kubectl apply -f "$REPO/examples/retcode/zero.yaml" >&2
watch
STAGES+=("$((SECONDS - began)) HTCJob zero")

say "" "\$ kubectl get htcjob zero"
kubectl get htcjob zero
kubectl get htcjob zero --output yaml | sed -n '/^status:/,$p'
say "" "\$ htc-operator logs $(namespace)/zero"
log
table
how_to_play
exit
}
