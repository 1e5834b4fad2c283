package host

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestParseReportRefuses(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"a report that was cut off", "os=Debian 12\n", "no end"},
		{"a key that no script prints", "root=yes\nslipway-end\n", "root=yes"},
		{"a line without a value", "os\nslipway-end\n", "os"},
		{"a key twice", "os=a\nos=b\nslipway-end\n", "os twice"},
		{"a number that is none", "cpus=four\nslipway-end\n", "four"},
		{"a negative number", "memory_kib=-1\nslipway-end\n", "-1"},
		{"a number that overflows in bytes", "disk_kib=9223372036854775807\nslipway-end\n", "not a number"},
		{"escape sequences", "hostname=\x1b[31mred\nslipway-end\n", "cannot be printed"},
		{"a value that is too long", "kernel=" + strings.Repeat("k", 257) + "\nslipway-end\n", "longer"},
		{"a value that is not UTF-8", "kernel=\xff\nslipway-end\n", "UTF-8"},
		{"a lease with other fields", `lease={"generation":1,"admin":true}` + "\nslipway-end\n", "admin"},
		{"a lease with more behind it", `lease={"generation":1}{}` + "\nslipway-end\n", "something follows"},
		{"a lease with a negative generation", `lease={"generation":-1}` + "\nslipway-end\n", "not one"},
		{"a lease with a name that is none", `lease={"generation":1,"operation":"a b"}` + "\nslipway-end\n", "not one"},
		{"a clock that is none", "clock=noon\nslipway-end\n", "noon"},
		{"a sample that is none", "fsync=NaN\nslipway-end\n", "NaN"},
		{"a port that is none", "port=1FFFF\nslipway-end\n", "1FFFF"},
		{"a stage without a digest", "stage=etcd\nslipway-end\n", "etcd"},
		{"stages without end", stagesOf(65) + "slipway-end\n", "more than 64"},
		{"a report without end", strings.Repeat("leftover=x\n", 7000) + "slipway-end\n", "bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parseReport([]byte(test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("parseReport() = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func stagesOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "stage=s%d sha256:aa\n", i)
	}
	return b.String()
}

func TestParseReportKeepsListsWithinTheAPI(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "leftover=mount /var/lib/kubelet/%02d\nsecurity=nftables: inet %s%02d\nport=%X\n", i, strings.Repeat("t", 80), i, 2379+i)
	}
	b.WriteString("leftover=mount /var/lib/kubelet/00\nslipway-end\n")
	r, err := parseReport([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	f := r.facts
	if len(f.Leftovers) != 32 || f.Leftovers[31] != "… and 9 more" || len(f.PortsInUse) != 32 {
		t.Errorf("%d leftovers ending in %q, %d ports", len(f.Leftovers), f.Leftovers[len(f.Leftovers)-1], len(f.PortsInUse))
	}
	if len(f.Security) != 1 || len(f.Security[0]) != 64 {
		t.Errorf("security %q", f.Security)
	}
}

func TestPercentile99(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[99-i] = time.Duration(i + 1)
	}
	for name, test := range map[string]struct {
		samples []time.Duration
		want    time.Duration
	}{
		"is 0 without samples":           {nil, 0},
		"is the only sample":             {[]time.Duration{7}, 7},
		"is the largest of a few":        {[]time.Duration{3, 9, 1}, 9},
		"is the 99th of a hundred":       {hundred, 99},
		"is the 198th of two hundred":    {append(append([]time.Duration{}, hundred...), hundred...), 99},
		"leaves out one slow of hundred": {append(append([]time.Duration{}, hundred[1:]...), time.Hour), 99},
	} {
		t.Run(name, func(t *testing.T) {
			if got := percentile99(test.samples); got != test.want {
				t.Errorf("percentile99() = %d, want %d", got, test.want)
			}
		})
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte("clock=1795326211.647773209\nuid=0\nos=Debian 12\narch=x86_64\ncpus=2\nfsync=4.1e-05\nport=192B\nslipway-end\n"))
	f.Add([]byte(`lease={"generation":3,"cluster":"c","operation":"o-1"}` + "\nstage=etcd sha256:aa\nslipway-end\n"))
	f.Add([]byte("leftover=mount /x\nsecurity=AppArmor\nclock=1.%N\nslipway-end\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseReport(body)
		if err != nil {
			if len(err.Error()) > 2048 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		checkReport(t, r)
	})
}

// checkReport wants what the API wants of the facts.
func checkReport(t *testing.T, r report) {
	f := r.facts
	for _, v := range slices.Concat([]string{f.OS, f.Kernel, f.Hostname, f.Python}, f.Leftovers, f.Security) {
		if readable(v) != nil {
			t.Errorf("kept %q", v)
		}
	}
	for name, over := range map[string]bool{
		"leftovers": len(f.Leftovers) > 32, "security": len(f.Security) > 16, "ports": len(f.PortsInUse) > 32, "stages": len(r.stages) > 64,
	} {
		if over {
			t.Errorf("too many %s", name)
		}
	}
	if min(f.MemoryBytes, f.DiskBytes, f.DiskFreeBytes, int64(f.CPUs), int64(f.Fsync), r.lease.Generation) < 0 {
		t.Errorf("a number is negative: %+v", f)
	}
}

func FuzzExcerpt(f *testing.F) {
	f.Add([]byte("sudo: a password is required\n"))
	f.Add([]byte("\x1b[2J\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := excerpt(b)
		if len([]rune(s)) > 200 || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("excerpt(%q) = %q", b, s)
		}
	})
}

func FuzzParseLease(f *testing.F) {
	for _, seed := range []string{
		`{"generation":3,"cluster":"c","operation":"o-1"}`, `{"generation":0}`, `{"generation":-1}`, `{"generation":9223372036854775808}`, `{"generation":1e3}`, `{"cluster":"a b"}`,
		`{"Generation":1,"generation":2}`, `{} {}`, `null`, `[]`, ``, `{"x":1}`, "{\"cluster\":\"\x1b[2J\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lease, err := parseLease(b)
		if err != nil {
			if len(err.Error()) > 2048 || readableError(err) != nil {
				t.Errorf("the error %q", err)
			}
			return
		}
		if lease.Generation < 0 || !word(lease.Cluster) || !word(lease.Operation) {
			t.Errorf("kept %+v of %q", lease, b)
		}
	})
}

// readableError wants that an error that repeats what a host said can be printed on a terminal.
func readableError(err error) error {
	if strings.ContainsFunc(err.Error(), func(c rune) bool { return !unicode.IsPrint(c) }) {
		return errors.New("it has characters that cannot be printed")
	}
	return nil
}

func FuzzAfterMark(f *testing.F) {
	for _, seed := range []string{"", "slipway-begin\n", "hello\nslipway-begin\nos=x\n", "xslipway-begin\n", "slipway-begin", "\nslipway-begin\nslipway-begin\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		body, ok := afterMark(out)
		if !bytes.HasSuffix(out, body) || ok != bytes.Contains(append([]byte("\n"), out...), []byte("\n"+beginMark)) {
			t.Errorf("afterMark(%q) = %q, %v", out, body, ok)
		}
		if again, _ := afterMark(append([]byte("a banner\n"), out...)); ok && !bytes.Equal(again, body) {
			t.Errorf("a banner before %q changes %q to %q", out, body, again)
		}
	})
}
