#!/usr/bin/env bash
# image-build.sh: runs inside the root: makes the images out of the root's own files and pushes them.
#   image-build.sh REGISTRY
set -euo pipefail
registry=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umoci init --layout "$work/oci"

skeleton() { # an empty image, unpacked in $work/NAME
  local fs=$work/$1/rootfs
  umoci new --image "$work/oci:$1"
  umoci unpack --image "$work/oci:$1" "$work/$1"
  mkdir -p "$fs"/{dev,etc,home,proc,root,run,srv,sys,tmp,usr/bin,usr/lib,usr/lib64,var/tmp}
  for d in bin lib lib64; do ln -s "usr/$d" "$fs/$d"; done
  ln -s usr/bin "$fs/sbin"
  chmod 1777 "$fs/tmp" "$fs/var/tmp"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >"$fs/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$fs/etc/group"
  touch "$fs/etc/hosts" "$fs/etc/resolv.conf" "$fs/etc/localtime"
  printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$fs/etc/nsswitch.conf"
  printf 'NAME="%s of the test bed"\nID=%s\n' "$1" "$1" >"$fs/etc/os-release"
}

add() { # IMAGE FILE…: files of the root with the libraries they need, under their own paths
  local fs=$work/$1/rootfs file
  shift
  for file; do
    readlink -e "$file"
    ldd "$file" 2>/dev/null | grep -oE '/[^ ]+' | grep -v '^/.*:$' || true
    printf '%s\n' "$file"
  done | sort -u | while read -r file; do
    [ "${file#/usr/}" != "$file" ] || file=/usr$file
    [ -e "$fs$file" ] || cp -a --parents "$file" "$fs/"
    [ ! -L "$file" ] || [ -e "$fs$(readlink -e "$file")" ] || cp -a --parents "$(readlink -e "$file")" "$fs/"
  done
}

push() { # IMAGE COMMAND NAME…
  local image=$1
  umoci repack --image "$work/oci:$image" "$work/$image"
  umoci config --image "$work/oci:$image" --config.cmd "$2" --config.env PATH=/usr/local/bin:/usr/bin:/bin
  shift 2
  publish "$image" "$@"
}

publish() { # IMAGE NAME…
  local image=$1 name
  shift
  for name; do skopeo copy --quiet --dest-tls-verify=false "oci:$work/oci:$image" "docker://$registry/$name"; done
  echo "$image: $*"
}

variant() { # IMAGE NAME OPTION…: the files of another image with a start of its own
  local name=$2
  umoci tag --image "$work/oci:$1" "$name"
  shift 2
  umoci config --image "$work/oci:$name" --clear config.cmd "$@"
  publish "$name" "library/$name:latest"
}

skeleton busybox
cp /bin/busybox "$work/busybox/rootfs/usr/bin/"
for applet in $(/bin/busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$work/busybox/rootfs/usr/bin/$applet"
done
push busybox sh library/{busybox,alpine}:latest library/busybox:1
variant busybox web --config.entrypoint httpd --config.cmd -f --config.cmd -p --config.cmd 127.0.0.1:18980 --config.workingdir /etc
variant busybox echo --config.entrypoint echo --config.entrypoint "the entry  point's" --config.cmd '$words "and' --config.cmd 'its command'
variant busybox mute

tools() { # bash and the everyday tools; without the few that would bring large libraries along: each job unpacks its image anew
  local package
  for package in bash coreutils grep sed findutils hostname mawk; do
    dpkg -L "$package" | grep -E '^(/usr)?/s?bin/.' | sort
  done | grep -vE '/(.*sum|pinky|users|who|uptime|factor|stdbuf)$'
}

skeleton centos
mapfile -t files < <(tools)
add centos "${files[@]}"
ln -s bash "$work/centos/rootfs/usr/bin/sh"
ln -s mawk "$work/centos/rootfs/usr/bin/awk"
push centos bash library/{centos,debian}:latest library/centos:{7,8}

skeleton python
add python "${files[@]}" /usr/bin/python3
ln -s bash "$work/python/rootfs/usr/bin/sh"
ln -s mawk "$work/python/rootfs/usr/bin/awk"
ln -s python3 "$work/python/rootfs/usr/bin/python"
mkdir -p "$work/python/rootfs/usr/lib"
cp -a /usr/lib/python3.* "$work/python/rootfs/usr/lib/"
rm -rf "$work"/python/rootfs/usr/lib/python3.*/{test,idlelib,ensurepip,pydoc_data,turtledemo,tkinter,config-*}
find "$work/python/rootfs" -name __pycache__ -prune -exec rm -rf {} +
mapfile -t files < <(find /usr/lib/python3.*/lib-dynload -name '*.so')
add python "${files[@]}"
push python python3 library/python:{latest,3}
