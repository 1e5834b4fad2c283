package survey

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/server"
)

// scraped is a server that scraped at some moments, in seconds behind since.
func scraped(t *testing.T, since time.Time, at ...float64) *server.Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/status/config", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"success","data":{"yaml":"global: {scrape_interval: 2s}\n"}}`)
	})
	mux.HandleFunc("/api/v1/targets", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"success","data":{"activeTargets":[{"labels":{"job":"a"},"scrapeUrl":"http://a/","health":"up","scrapeInterval":"2s","scrapePool":"a"}]}}`)
	})
	mux.HandleFunc("/api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		number := func(name string) float64 { n, _ := strconv.ParseFloat(r.FormValue(name), 64); return n }
		var values []string
		for s := number("start"); s <= number("end")+1e-6; s += number("step") {
			i, _ := slices.BinarySearch(at, s-float64(since.Unix())+1e-6)
			if i > 0 {
				values = append(values, fmt.Sprintf(`[%.3f,"%g"]`, s, s-float64(since.Unix())-at[i-1]))
			}
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[%s]}]}}`, strings.Join(values, ","))
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	c, err := server.New(server.Options{Name: "server", URL: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOutagesAreWhatTheSourceScraped(t *testing.T) {
	since := time.Now().Truncate(time.Second).Add(-40 * time.Second)
	every := func(from, to float64) (list []float64) {
		for at := from; at < to; at += 2 {
			list = append(list, at)
		}
		return list
	}
	at := func(seconds float64) time.Time {
		return since.Add(time.Duration(seconds * float64(time.Second))).UTC()
	}
	all := every(-9.5, 60)
	tests := map[string]struct {
		source, target []float64
		want           []Outage
	}{
		"none":                        {all, every(-9, 60), nil},
		"a scrape that was missed":    {all, slices.Concat(every(-9, 10), every(13, 60)), nil},
		"a process that was frozen":   {all, slices.Concat(every(-9, 10), every(19, 60)), []Outage{{at(9), at(18)}}},
		"both, as the network was":    {slices.Concat(every(-9.5, 9), every(19.5, 60)), slices.Concat(every(-9, 10), every(19, 60)), nil},
		"two":                         {all, slices.Concat(every(-9, 8), every(15, 20), every(27, 60)), []Outage{{at(7), at(14)}, {at(19), at(26)}}},
		"nothing at all at the start": {all, every(11, 60), []Outage{{at(0), at(10)}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Outages(t.Context(), OutageOptions{Source: scraped(t, since, test.source...), Target: scraped(t, since, test.target...), Since: since})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < 20*time.Millisecond })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
