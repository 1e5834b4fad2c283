package server

import (
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

func TestItselfQuery(t *testing.T) {
	const want = "process_start_time_seconds == 1.79536454856e+09 and on (job, instance) prometheus_build_info"
	got := ItselfQuery(1795364548.56)
	if _, err := parser.NewParser(parser.Options{}).ParseExpr(got); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}
