#!/usr/bin/env bash
# kube-build.sh: builds kube-apiserver, -controller-manager, -scheduler and kubectl of one version from their Go modules, once.
set -euo pipefail
{ # read as a whole, so that an edit meanwhile does no harm
V=${1:?version} SRC=${2:?folder}
[ "$(cat "$SRC/bin/version" 2>/dev/null)" = "$V" ] && exit 0

mkdir -p "$SRC"
cd "$SRC"
# The machine's own Go settings (proxy, checksum database) stay; only the caches move under the bed, where they are safe to lose.
export GOTOOLCHAIN=local GOFLAGS='-mod=mod -modcacherw -buildvcs=false' GOWORK=off CGO_ENABLED=0
export GOMODCACHE=$SRC/mod GOCACHE=$SRC/cache

# k8s.io/kubernetes replaces its staging modules by folders of its own repository; as a dependency that has no effect,
# so each is replaced here by the version released with it (v1.34.4 -> v0.34.4).
printf 'module htc.cern.ch/testbed\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v%s\n' "$V" >go.mod
rm -f go.sum
echo "downloading k8s.io/kubernetes v$V"
go mod download "k8s.io/kubernetes@v$V"
grep -oE 'k8s\.io/[a-z0-9-]+ => \./staging' "$GOMODCACHE/cache/download/k8s.io/kubernetes/@v/v$V.mod" | cut -d' ' -f1 | sort -u |
  while read -r module; do echo "replace $module => $module v0.${V#1.}"; done >>go.mod

cmd=k8s.io/kubernetes/cmd
version=k8s.io/component-base/version
# Without debugging information, which is stripped anyway, compiling takes about a seventh less.
rm -rf bin.new
go build -o bin.new/ -trimpath -gcflags all=-dwarf=false \
  -ldflags "-s -w -X $version.gitVersion=v$V -X $version.gitMajor=1 -X $version.gitMinor=$(cut -d. -f2 <<<"$V")" \
  $cmd/kube-apiserver $cmd/kube-controller-manager $cmd/kube-scheduler $cmd/kubectl
echo "$V" >bin.new/version
rm -rf bin
mv bin.new bin # a half-finished build is never taken for a whole one
rm -rf mod cache go.mod go.sum # gigabytes that only an unfinished build has a use for
exit
}
