//go:build lab

package ansible

import (
	"regexp"
	"slices"
	"strings"
)

// look lists what a machine holds: files, mounts, devices, routes, packet filter, processes, units and cgroups. What every
// running system changes by itself (logs, caches, the lease of the host) is left out.
const look = `
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/log/journal -o -path /var/cache -o -path /var/lib/dpkg \
  -o -path /var/lib/slipway/lease.json -o -path /var/lib/slipway/lock -o -path /var/log/dpkg.log -o -path /var/lib/systemd -o -path /var/lib/apt \) -prune -o -printf 'file %p\n'
find /run -xdev \( -path /run/systemd -o -path /run/udev -o -path /run/user -o -path /run/sudo -o -path /run/log \) -prune -o -printf 'file %p\n'
awk '{print "mount", $2}' /proc/mounts | grep -v ' /run/user' | grep -v '/run/credentials'
ip -o link | awk '{sub("@if[0-9]*", "", $2); print "link", $2}'
ip route show table all | sed 's/^/route /'
ip rule | sed 's/^/rule /'
cat /proc/net/ip_tables_names 2>/dev/null | sed 's/^/table /'
for p in /proc/[0-9]*; do readlink $p/exe | sed 's/^/process /'; done | grep -vE 'process (/usr/bin/(dash|bash|find|sudo|readlink|sed|grep|sort|mawk|python3.11|sleep)|/usr/sbin/sshd|/usr/lib/systemd/systemd(-executor)?|/usr/bin/\(sd-pam\))'
systemctl list-unit-files --no-legend --type=service,socket,timer,path | awk '{print "unit", $1, $2}'
ls -d /sys/fs/cgroup/*/* | grep -E 'kube|container' | sed 's/^/cgroup /'
systemctl list-units --failed --no-legend --plain | awk '{print "failed", $1}'
`

// snapshot is what a machine holds, sorted.
func (s *site) snapshot(name string) []string {
	s.t.Helper()
	// systemd makes these names anew at each boot.
	found := regexp.MustCompile(`systemd-private-[0-9a-f]{32}-([^/\n]*)-[A-Za-z0-9]{6}`).ReplaceAllString(s.on(name, "sh", "-c", look), "systemd-private-$1")
	lines := strings.Split(strings.TrimSpace(found), "\n")
	slices.Sort(lines)
	return slices.Compact(lines)
}
