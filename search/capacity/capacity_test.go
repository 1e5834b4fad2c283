package capacity

import (
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

const tb = 1_000_000_000_000

// TestArithmetic is the arithmetic of one real year of logs; the golden file is read like code.
func TestArithmetic(t *testing.T) {
	full := Stage{Days: 1, Primaries: 60, Copies: 2}
	month, year, fifteen := full, full, full
	month.Days, year.Days, fifteen.Days = 30, 365, 15
	var b strings.Builder
	for _, c := range []struct {
		name string
		sum  Sum
		want float64
	}{
		{"documents that ten hot nodes take", DocsPerSecond(10, 8*DocsPerSecondPerCore, 2), 100_000},
		{"disk of sixty nodes", Disk(60, 6*tb), 360 * tb},
		{"nodes for a disk", Nodes(780*tb, 6*tb), 130},
		{"shards of a day", Shards(1, []Stage{full}), 2_880},
		{"shards of a month", Shards(1, []Stage{month}), 86_400},
		{"shards of a year", Shards(1, []Stage{year}), 1_051_200},
		{"shrunk to 5 with replica at 15 days", Shards(1, []Stage{fifteen, {Days: 350, Primaries: 5, Copies: 2}}), 127_200},
		{"two-hourly, without replica at 360 hours", Shards(2, []Stage{fifteen, {Days: 350, Primaries: 5, Copies: 1}}), 42_600},
		{"restart of the night", RestartHeap(193, 118_422, EntryBytes), 38_854_258_200},
		{"restart that somebody measured at 21 GB", RestartHeap(163, 80_000, EntryBytes), 22_168_000_000},
	} {
		if c.sum.Out.Value != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.sum.Out.Value, c.want)
		}
		b.WriteString(c.name + ": " + c.sum.Text + "\n")
	}
	golden.Check(t, "testdata/arithmetic.golden", b.String())
}

func TestNumbersForPeople(t *testing.T) {
	for want, got := range map[string]string{
		"118 422": Grouped(118422), "0.5": Grouped(0.5), "-1 000": Grouped(-1000), "999": Grouped(999), "1 051 200": Grouped(1051200), "150": Grouped(150.4),
		"38.9 GB": BytesText(38_854_258_200), "360 TB": BytesText(360 * tb), "1.7 KB": BytesText(1700), "6 TB": BytesText(6 * tb), "512 B": BytesText(512),
		"2 000 TB": BytesText(2000 * tb), "100 TB": BytesText(99.96e12), "0 B": BytesText(0), "-1.5 GB": BytesText(-1.5e9),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
