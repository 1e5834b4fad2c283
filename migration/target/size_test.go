package target

import (
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/volume"
)

func TestSize(t *testing.T) {
	cases := []struct {
		name, size string
		need       volume.Need
		want       string
		refused    string
	}{
		{"what is asked for, when it is enough", "size: 1Ti", volume.Need{Bytes: 600 << 30}, "1Ti", ""},
		{"what is needed, when nothing is asked for", "", volume.Need{Bytes: 600 << 30, LargestBlockBytes: 30 << 30, HeadBytes: 40 << 30}, "804Gi", ""},
		{"too small is refused", "size: 700Gi", volume.Need{Bytes: 600 << 30}, "700Gi", "700Gi is too small: 720Gi are needed"},
		{"nothing known is refused", "", volume.Need{}, "1Gi", "neither the size of the volume nor of the data is known"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := replaced(t, "size: 1Ti", c.size)
			o.Source.Need = c.need
			p := plan(t, o)
			size, refused := p.Size(), ""
			for _, f := range p.Refusals() {
				refused += f.Says
			}
			if size.String() != c.want || (refused != "") != (c.refused != "") || !strings.HasPrefix(refused, c.refused) {
				t.Errorf("%s, %s", size.String(), refused)
			}
		})
	}
}
