package lifecycle

import (
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

func quantity(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}

// serverBytes reads a size as the servers write it: 40mb, 1gb, 100b. Their units are of 1024.
func serverBytes(text string) (int64, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	for _, unit := range []struct {
		name string
		size float64
	}{{"pb", 1 << 50}, {"tb", 1 << 40}, {"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"b", 1}} {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			n, err := strconv.ParseFloat(number, 64)
			return int64(n * unit.size), err == nil && n > 0 && n*unit.size < 1<<60
		}
	}
	return 0, false
}

// span writes a duration without what is zero in it: 2h, 1h30m, 24h.
func span(d time.Duration) string {
	text := d.Round(time.Minute).String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == "" {
		return "less than a minute"
	}
	return text
}
