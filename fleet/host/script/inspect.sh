# Looks at a host and changes nothing. Prints key=value lines between "slipway-begin" and "slipway-end"; facts.go reads
# them. POSIX sh and what every distribution has; a program that is missing costs its fact, not the inspection.
# $root is put before every path and is empty on a real host.
LC_ALL=C
export LC_ALL
umask 077

say() { printf '%s=%s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
# first prints the first line of a file, or nothing.
first() { if [ -r "$1" ]; then head -n 1 "$1" | head -c 200; fi; }
limit() { if has timeout; then timeout "$@"; else shift && "$@"; fi; }
filled() { [ -d "$1" ] && [ -n "$(ls -A "$1" 2>/dev/null | head -n 1)" ]; }

echo slipway-begin
say clock "$(date +%s.%N 2>/dev/null)"
say uid "$(id -u)"

# What it is.
if [ -r "$root/etc/os-release" ]; then
	say os "$(. "$root/etc/os-release" && printf '%s %s' "${NAME%% GNU/Linux*}" "${VERSION_ID-}")"
fi
say arch "$(uname -m)"
say kernel "$(uname -r)"
say hostname "$(uname -n)"
say machine_id "$(first "$root/etc/machine-id")"
if [ -f "$root/sys/fs/cgroup/cgroup.controllers" ]; then say cgroup 2; else say cgroup 1; fi
say cpus "$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
say memory_kib "$(sed -n 's/^MemTotal:  *\([0-9]*\) kB$/\1/p' "$root/proc/meminfo")"
df -Pk "$root/var/lib" 2>/dev/null | {
	read -r _
	read -r _ total _ free _
	say disk_kib "$total"
	say disk_free_kib "$free"
}
say python "$(python3 --version 2>/dev/null | sed -n 's/^Python \([0-9][0-9.]*\).*/\1/p')"
say swap "$(sed 1d "$root/proc/swaps" 2>/dev/null | grep -c .)"

# What guards it.
case $(first "$root/sys/fs/selinux/enforce") in
1) say security 'SELinux: enforcing' ;;
0) say security 'SELinux: permissive' ;;
esac
[ "$(first "$root/sys/module/apparmor/parameters/enabled")" = Y ] && say security AppArmor
nft_tables=
if has nft; then nft_tables=$(limit 5 nft list tables 2>/dev/null | head -n 64); fi
echo "$nft_tables" | while read -r _ family name; do
	case $name in
	'') ;;
	kube-proxy | flannel-* | cni_hostport | cni_plugins_masquerade) say leftover "nftables table $family $name" ;;
	*) say security "nftables: $family $name" ;;
	esac
done
if has nft && [ -n "$nft_tables" ]; then
	chain=$(limit 5 nft list chains 2>/dev/null | sed -n 's/^.*chain \(\(KUBE\|FLANNEL\|CNI\)-[A-Za-z0-9-]*\).*/\1/p' | head -n 1)
	[ -n "$chain" ] && say leftover "firewall chain $chain"
fi

# What listens where Kubernetes wants to: 2379-2381 6443 10248-10250 10256 10257 10259.
for port in $(grep -h ' 0A ' "$root/proc/net/tcp" "$root/proc/net/tcp6" 2>/dev/null | sed 's/^[^:]*: [0-9A-F]*:\([0-9A-F]*\) .*/\1/' | sort -u); do
	case $port in
	094B | 094C | 094D | 192B | 2808 | 2809 | 280A | 2810 | 2811 | 2813) say port "$port" ;;
	esac
done

# What another cluster left.
for path in /etc/kubernetes /etc/etcd /etc/cni/net.d /var/lib/kubelet /var/lib/kube-proxy /var/lib/etcd /var/lib/cni /var/lib/containerd \
	/var/log/pods /run/flannel /run/containerd/io.containerd.runtime.v2.task; do
	filled "$root$path" && say leftover "files in $path"
done
for unit in kubelet containerd etcd kube-proxy flanneld; do
	[ -e "$root/etc/systemd/system/$unit.service" ] && say leftover "unit $unit.service"
done
cat "$root"/proc/[0-9]*/comm 2>/dev/null | sort -u | while read -r name; do
	case $name in
	kubelet | containerd | containerd-shim* | etcd | kube-proxy | flanneld | kube-apiserver | kube-controller* | kube-scheduler) say leftover "process $name" ;;
	esac
done
while read -r _ path _; do
	case $path in
	/var/lib/kubelet/* | /run/netns/cni-* | /run/containerd/* | /var/lib/containerd/*) say leftover "mount $path" ;;
	esac
done <"$root/proc/mounts" | head -n 8
for namespace in "$root"/run/netns/cni-*; do
	[ -e "$namespace" ] && say leftover "network namespace ${namespace##*/}"
done | head -n 4
for device in cni0 flannel.1 flannel-v6.1 kube-ipvs0 kube-bridge cilium_host vxlan.calico weave; do
	[ -e "$root/sys/class/net/$device" ] && say leftover "network device $device"
done

# Who may work on it.
state=$root/var/lib/slipway
[ -e "$state/lease.json" ] && say lease "$(first "$state/lease.json")"
for stage in "$state"/stages/*; do
	[ -f "$stage" ] && say stage "${stage##*/} $(first "$stage")"
done

# How fast its disk keeps what it is given: up to 100 writes as etcd makes them, each timed by dd itself; ends after
# 0.8 s, as the uptime has it.
centiseconds() {
	read -r up _ <"$root/proc/uptime"
	echo "${up%.*}${up#*.}"
}
probe=$root/var/lib/.slipway-fsync.$$
trap 'rm -f "$probe"' EXIT
start=$(centiseconds)
count=0
while [ "$count" -lt 100 ] && [ $(($(centiseconds) - start)) -lt 80 ]; do
	took=$(dd if=/dev/zero of="$probe" bs=2300 count=1 conv=notrunc oflag=dsync 2>&1) || break
	took=${took##*copied, }
	took=${took%% s*}
	case $took in '' | *[!0-9.e+-]*) break ;; esac
	say fsync "$took"
	count=$((count + 1))
done
rm -f "$probe"
trap - EXIT
echo slipway-end
