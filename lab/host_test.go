package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct {
		name, mountinfo string
		want            Host
		fails           bool
	}{
		{name: "sees a hybrid host with controllers mounted together", mountinfo: `
25 30 0:23 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw
27 25 0:25 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
28 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct
`, want: Host{CgroupV1, []Hierarchy{
			{"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", false}, {"systemd", "/sys/fs/cgroup/systemd", false}, {"unified", "/sys/fs/cgroup/unified", true}}}},
		{name: "sees version 2", mountinfo: "26 25 0:24 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			want: Host{CgroupV2, []Hierarchy{{"cgroup", "/sys/fs/cgroup", true}}}},
		{name: "counts a mount that is stacked on itself once", mountinfo: "1 0 0:1 / /c rw - cgroup2 x rw\n2 1 0:1 / /c rw - cgroup2 x rw\n",
			want: Host{CgroupV2, []Hierarchy{{"c", "/c", true}}}},
		{name: "keeps blanks in paths", mountinfo: `1 0 0:1 / /a\040b rw - cgroup2 x rw` + "\n", want: Host{CgroupV2, []Hierarchy{{"a b", "/a b", true}}}},
		{name: "fails without cgroups", mountinfo: "1 0 8:1 / / rw - ext4 /dev/sda rw\ngarbage\n", want: Host{Mode: CgroupV2}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseHost(c.mountinfo)
			if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != c.fails {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
