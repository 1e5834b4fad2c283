package block

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

func TestRespelledWritesNumbersAsTheNewerServer(t *testing.T) {
	tests := map[string]struct {
		from, want labels.Labels
		other      bool
	}{
		"an integer bucket":         {labels.FromStrings("le", "1"), labels.FromStrings("le", "1.0"), true},
		"a quantile":                {labels.FromStrings("quantile", "0"), labels.FromStrings("quantile", "0.0"), true},
		"a fraction stays":          {labels.FromStrings("le", "0.5"), labels.FromStrings("le", "0.5"), false},
		"infinity stays":            {labels.FromStrings("le", "+Inf"), labels.FromStrings("le", "+Inf"), false},
		"words stay":                {labels.FromStrings("le", "much"), labels.FromStrings("le", "much"), false},
		"a series without one does": {labels.FromStrings("job", "1"), labels.FromStrings("job", "1"), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, other := Respelled(test.from); !labels.Equal(got, test.want) || other != test.other {
				t.Errorf("%v, %v", got, other)
			}
		})
	}
}
