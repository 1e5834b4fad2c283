#!/bin/sh
# Boots dev-m1. Written and run by slipway lab, which makes the cgroups and the network first:
#   nsenter --net=/run/slipway-lab/7.net unshare --mount --propagation private /bin/sh /var/lib/labs/dev/machines/m1/boot.sh
set -eu

# Every hierarchy, or two machines share one and kill each other's pods.
echo 0 > /sys/fs/cgroup/slipway-lab-7/m1/cgroup.procs

# This namespace must not keep the network of another lab alive.
for net in /run/slipway-lab/*.net; do
  umount "$net" || true
done
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0700 tmpfs /run/systemd/nspawn

# Freed by the kernel when the last process of the machine is gone.
mount -o loop,noatime /var/lib/labs/dev/machines/m1/disk.img /var/lib/labs/dev/machines/m1/root

# This shell must not stay where systemd-nspawn passes controllers on to its children.
mkdir -p /sys/fs/cgroup/slipway-lab-7/m1/launcher
echo 0 > /sys/fs/cgroup/slipway-lab-7/m1/launcher/cgroup.procs
# systemd-nspawn --keep-unit ends with 133 when the machine wants to reboot.
status=133
while [ "$status" = 133 ]; do
  find /sys/fs/cgroup/slipway-lab-7/m1 -mindepth 1 -depth -type d ! -name launcher -exec rmdir {} \;
  for controller in $(cat /sys/fs/cgroup/slipway-lab-7/m1/cgroup.subtree_control); do echo "-$controller" > /sys/fs/cgroup/slipway-lab-7/m1/cgroup.subtree_control; done
  status=0
  (
    echo 0 > /sys/fs/cgroup/slipway-lab-7/m1/cgroup.procs
    exec env SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 SYSTEMD_NSPAWN_USE_CGNS=1 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 \
      systemd-nspawn --quiet \
      --boot \
      --register=no \
      --keep-unit \
      --console=read-only \
      --directory=/var/lib/labs/dev/machines/m1/root \
      --machine=m1 \
      --hostname=dev-m1 \
      --network-bridge=br0 \
      --capability=all \
      --private-users=no \
      '--system-call-filter=@keyring bpf add_key keyctl' \
      --bind=/dev/kmsg \
      --resolv-conf=off \
      --timezone=off \
      --link-journal=no
  ) || status=$?
done
exit "$status"
