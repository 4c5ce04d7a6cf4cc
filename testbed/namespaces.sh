#!/usr/bin/env bash
# namespaces.sh: first process of the bed's mount and pid namespaces: builds the view of the root, moves into it, then only reaps.
#   namespaces.sh ROOT SPOOL CONDOR_LOG FOLDER…     FOLDER is seen inside under its own path
set -euo pipefail
root=$1 spool=$2 log=$3
shift 3

# A plain chroot is not enough: Apptainer needs pivot_root, which needs a mount point of its own.
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --rbind /tmp "$root/tmp"
for folder; do mount --bind "$folder" "$root$folder"; done
mkdir -p "$root/var/spool/condor" "$root/var/log/condor"
mount --bind "$spool" "$root/var/spool/condor"
mount --bind "$log" "$root/var/log/condor"
mount -t tmpfs -o mode=755 tmpfs "$root/run"

cd "$root"
mkdir -p .old
pivot_root . .old
cd /
umount -l /.old

install -d -o condor -g condor /run/condor /run/lock/condor /var/lib/condor/execute /var/spool/condor /var/log/condor
[ ! -e /dev/fuse ] || chmod 666 /dev/fuse
touch /run/bed-ready

# bash reaps every orphan while it waits for its own child.
exec /bin/bash -c 'while :; do sleep 1000000; done'
