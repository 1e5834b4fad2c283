package volume

import (
	"strings"
	"testing"
)

const mountinfo = `22 27 0:20 / /proc rw,nosuid - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:44 / /mnt/nfs rw,relatime - nfs4 10.0.0.9:/export rw,vers=4.2,hard
41 27 8:1 / /data rw - xfs /dev/sdb1 rw
42 41 8:2 / /data rw - ext4 /dev/sdc1 rw
43 27 0:45 / /with\040space rw - fuse.s3fs s3fs rw
`

func TestMountOf(t *testing.T) {
	cases := []struct{ name, path, fsType, source string }{
		{"the root holds what nothing else does", "/var/lib", "ext4", "/dev/vda"},
		{"the mount point itself", "/mnt/nfs", "nfs4", "10.0.0.9:/export"},
		{"a directory below", "/mnt/nfs/a/b", "nfs4", "10.0.0.9:/export"},
		{"a name that only begins the same is another", "/mnt/nfs2", "ext4", "/dev/vda"},
		{"the last of two mounts on one point is seen", "/data/prometheus", "ext4", "/dev/sdc1"},
		{"escapes are undone", "/with space/x", "fuse.s3fs", "s3fs"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := mountOf(strings.NewReader(mountinfo), c.path)
			if err != nil || m.fsType != c.fsType || m.source != c.source {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

func TestMountOfRefusesWhatItCannotRead(t *testing.T) {
	for _, text := range []string{"", "1 2 3\n", "22 27 0:20 / /proc rw proc proc rw\n", "22 27 0:20 / /proc rw - proc\n"} {
		if m, err := mountOf(strings.NewReader(text), "/x"); err == nil {
			t.Errorf("%q: got %+v", text, m)
		}
	}
}

func FuzzMountOf(f *testing.F) {
	f.Add(mountinfo, "/data")
	f.Fuzz(func(t *testing.T, text, path string) {
		m, err := mountOf(strings.NewReader(text), path)
		if err == nil && !within(m.point, path) {
			t.Errorf("%q does not lie within %q", path, m.point)
		}
	})
}
