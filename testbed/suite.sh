#!/usr/bin/env bash
# suite.sh: tests as stages whose output is shown, and the tests of the bed; sourced by test.sh and soak.sh.

shown() { # NAME CMD…: a stage whose output is shown, because it is the point of it
  local name=$1 began=$SECONDS
  shift
  say "" "== $name"
  "$@"
  STAGES+=("$((SECONDS - began)) $name")
}

bed_for_tests() { # the bed is up, and what runs on it is built
  shown "bed up" "$HERE/testbed" up
  # It watches all namespaces and would take the tests' objects.
  "$HERE/operator.sh" stop
  shown "build the static sender" "$HERE/build.sh" sender
  shown "build the tests of the bed" cargo test --locked --workspace --no-run
}

on_bed() { # ARGUMENTS of the test binaries
  local host runner
  host=$(rustc -vV | sed -n 's/^host: //p')
  runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
  env "$runner=$HERE/testbed as $USER_IN" "HTC_TEST_SENDER=$BED/bin/htc-sender" "HTC_SENDER=$BED/bin/htc-sender" \
    cargo test --locked --workspace --tests -- --ignored "$@"
}

# Those in a module `soak` are slow, and only `make soak` runs them; `alone` and `thousand` allow no other test beside them.
tests_of_bed() {
  shown "tests on the bed" on_bed --test-threads 4 --skip alone:: --skip thousand:: --skip soak::
  # One filter a run: the scripted binary's own main takes no more.
  shown "tests of the whole cluster" on_bed --test-threads 1 alone::
  shown "tests of the whole pool" on_bed --test-threads 1 thousand::
}
