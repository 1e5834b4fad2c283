package survey

import (
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/skew"
)

func TestReach(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		expr string
		want time.Duration
	}{
		"a selector looks back five minutes":         {"up", lookback},
		"a range":                                    {"rate(x[1h])", time.Hour},
		"a range and its offset":                     {"rate(x[1h] offset 1d)", day + time.Hour},
		"an offset alone":                            {"x offset 1w", 7*day + lookback},
		"a subquery adds its range to what is in it": {"max_over_time(rate(x[5m])[1d:1m])", day + 5*time.Minute},
		"a subquery with an offset":                  {"max_over_time(x[1d:1m] offset 1d)", 2*day + lookback},
		"the longest of several":                     {"rate(x[1h]) / rate(y[30d])", 30 * day},
		"an offset into the future is none":          {"x offset -1h", 0},
		"no selector":                                {"vector(1)", 0},
		"what 3.0 renamed":                           {"holt_winters(x[2d], 0.5, 0.5)", 2 * day},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			expr, err := skew.NewParser().ParseExpr(test.expr)
			if err != nil {
				t.Fatal(err)
			}
			if got := reach(expr); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
