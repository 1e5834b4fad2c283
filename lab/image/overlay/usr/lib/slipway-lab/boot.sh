# Runs once per boot of a practice machine, before sshd: what a real machine gets from its firmware, its rack and its kernel command line.
set -eu

# systemd-nspawn leaves the cgroup v1 controllers read-only; a kubelet must write them.
for dir in /sys/fs/cgroup/*; do
  [ -L "$dir" ] && continue
  mountpoint -q "$dir" && mount -o remount,bind,rw "$dir"
done

# The kubelet wants its root on a shared mount.
mount --make-rshared /

ip link set host0 down
ip link set host0 name eth0 address "$MAC"
ip address add "$ADDRESS" dev eth0
ip link set lo up
ip link set eth0 up
# The kubelet finds its own address through the default route.
ip route add default via "$GATEWAY"
