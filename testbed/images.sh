#!/usr/bin/env bash
# images.sh: the image registry on loopback, and the small images in it, made on the spot from the root's own files.
#   images.sh start     the registry (http), where Apptainer finds it        images.sh build     the images, once
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

REGISTRY=$BED/images # a cache: safe to lose

start() {
  mkdir -p "$REGISTRY" "$ROOT/etc/containers/registries.conf.d"
  cat >"$REGISTRY/registry.yaml" <<C
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$REGISTRY/blobs"}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$REGISTRY_PORT"}
C
  # Names of the public registries are looked up in ours first (Apptainer >= 1.4 honours mirrors; a replaced location it ignores).
  {
    printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$REGISTRY_PORT"
    for name in docker.io ghcr.io quay.io; do
      printf '\n[[registry]]\nprefix = "%s"\nlocation = "%s"\n' "$name" "$name"
      printf '[[registry.mirror]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$REGISTRY_PORT"
    done
  } >"$ROOT/etc/containers/registries.conf.d/50-bed.conf"
  alive registry || spawn_in registry docker-registry serve "$REGISTRY/registry.yaml"
  wait_up registry 20 port_used "$REGISTRY_PORT"
}

build() {
  local version
  version=$(cksum <"$HERE/image-build.sh")
  [ "$(cat "$REGISTRY/.built" 2>/dev/null)" != "$version" ] || return 0
  rm -f "$REGISTRY/.built"
  in_root / bash "$HERE/image-build.sh" "127.0.0.1:$REGISTRY_PORT"
  echo "$version" >"$REGISTRY/.built"
}

case ${1:?} in start | build) "$1" ;; esac
