#!/usr/bin/env bash
# stages.sh: runs the long steps with a line of progress at least every 15 s, and keeps their times; sourced.

STAGES=() # "seconds name" of those that ended

stage() { stages "$@"; } # NAME CMD…

# stages NAME CMD… [-- NAME CMD…]…: side by side, each with its own log; the first failure is named after all have ended.
stages() {
  local -a names=() pids=() words=()
  mkdir -p "$LOG/stages"
  local word failed='' began=$SECONDS last=$SECONDS i running
  for word in "$@" --; do
    if [ "$word" != -- ]; then
      words+=("$word")
      continue
    fi
    names+=("${words[0]}")
    HTC_BED_STAGE=1 setsid "${words[@]:1}" >"$LOG/stages/${words[0]// /-}.log" 2>&1 </dev/null & # a session of its own: it ends as a whole
    pids+=($!)
    words=()
  done
  trap 'for i in "${pids[@]}"; do [ -z "$i" ] || kill -TERM -- "-$i" 2>/dev/null; done; say "Interrupted."; exit 130' INT TERM
  while :; do
    running=''
    for i in "${!names[@]}"; do
      [ -n "${pids[i]}" ] || continue
      if kill -0 "${pids[i]}" 2>/dev/null; then
        running+="${running:+, }${names[i]}"
      else
        wait "${pids[i]}" || failed=${failed:-${names[i]}}
        STAGES+=("$((SECONDS - began)) ${names[i]}")
        [ $((SECONDS - began)) -lt 5 ] || say "  ${names[i]}: done, $((SECONDS - began)) s"
        pids[i]=''
      fi
    done
    [ -n "$running" ] || break
    if [ $((SECONDS - last)) -ge 15 ]; then
      say "  $running: still working, $((SECONDS - began)) s"
      last=$SECONDS
    fi
    sleep 0.1
  done
  trap - INT TERM
  [ -z "$failed" ] || {
    failed=${failed// /-}
    say "$(tail -n 15 "$LOG/stages/$failed.log")"
    die "\"$failed\" failed; the whole log is $LOG/stages/$failed.log"
  }
}

table() {
  local line
  say "" "  seconds  stage"
  for line in "${STAGES[@]}"; do say "$(printf '  %7s  %s' "${line%% *}" "${line#* }")"; done
  say "$(printf '  %7s  %s' "$SECONDS" "in all")"
}
