package grafana

import "testing"

func TestMeansSource(t *testing.T) {
	for _, c := range []struct {
		at   string
		want bool
	}{
		{"http://198.18.0.21:9090", true}, {"http://198.18.0.21:9090/", true}, {"http://localhost:9090", true}, {"http://127.0.0.1:9090", true}, {"http://[::1]:9090", true},
		{"http://0.0.0.0:9090", true}, {"http://LocalHost:9090", true}, {"http://localhost:9091", false}, {"http://other:9090", false}, {"http://localhost:9090/prom", false}, {"", false}, {"localhost", false}, {"http://%zz", false},
	} {
		if got := meansSource(c.at, oldPrometheus); got != c.want {
			t.Errorf("%q: %v", c.at, got)
		}
	}
	if got := shownAddress("http://admin:hunter2@x:1/a?token=y#z"); got != "http://x:1/a" {
		t.Errorf("shown is %q", got)
	}
}
