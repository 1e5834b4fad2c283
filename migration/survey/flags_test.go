package survey

import "testing"

func TestLargestRange(t *testing.T) {
	const hour = 3600
	tests := map[string]struct{ least, limit, want int64 }{
		"180 days make 162 hours":                    {2 * hour, 18 * 24 * hour, 162 * hour},
		"15 days make 18 hours":                      {2 * hour, 36 * hour, 18 * hour},
		"31 days make 486 hours":                     {2 * hour, 31 * 24 * hour, 486 * hour},
		"Thanos' equal durations are kept":           {2 * hour, 2 * hour, 2 * hour},
		"a limit below the least is the least":       {2 * hour, 0, 2 * hour},
		"one that is a power of three is reached":    {2 * hour, 54 * hour, 54 * hour},
		"no limit ends with the tenth range of tsdb": {2 * hour, 1 << 60, 2 * hour * 19683},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := largestRange(test.least, test.limit); got != test.want {
				t.Errorf("%d h, want %d h", got/hour, test.want/hour)
			}
		})
	}
}

func TestRetention(t *testing.T) {
	const day = 86400
	for text, want := range map[string]Retention{
		"15d":            {Seconds: 15 * day},
		"180d or 10GiB":  {Seconds: 180 * day},
		"10GiB":          {},
		"1d12h or 80%":   {Seconds: 36 * 3600, Share: "80%"},
		"nothing \x1b[1": {},
	} {
		got := readRetention(text)
		if got.Text = ""; got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
	for name, test := range map[string]struct {
		flags map[string]string
		want  int64
	}{
		"the default":                       {nil, 15 * day},
		"the flag":                          {map[string]string{"storage.tsdb.retention.time": "30d"}, 30 * day},
		"the older flag beside the default": {map[string]string{"storage.tsdb.retention.time": "15d", "storage.tsdb.retention": "90d"}, 90 * day},
		"a size alone has no time":          {map[string]string{"storage.tsdb.retention.time": "0s", "storage.tsdb.retention.size": "10GB"}, 0},
	} {
		if got := readFlags(test.flags).retention(); got.Seconds != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
