package shim

import (
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// labelled is a source with the external labels cluster and replica, and a series that has a label cluster of its own.
func labelled(t *testing.T, cluster string) *source {
	t.Helper()
	s := &source{db: newDB(t), external: labels.FromStrings("cluster", "old", "replica", "0")}
	app := s.db.Appender(t.Context())
	for _, l := range []labels.Labels{labels.FromStrings("__name__", "up"), labels.FromStrings("__name__", "up", "cluster", cluster)} {
		if _, err := app.Append(0, l, start, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExternalLabelsOfTheSourceAreTakenOff(t *testing.T) {
	src := labelled(t, "federated")
	_, address := pair(t, src)
	tests := map[string]struct {
		matcher *labels.Matcher
		want    []string
	}{
		"all":                             {labels.MustNewMatcher(labels.MatchEqual, "__name__", "up"), []string{`{__name__="up"}`, `{__name__="up", cluster="federated"}`}},
		"by a label that is stored":       {labels.MustNewMatcher(labels.MatchEqual, "cluster", "federated"), []string{`{__name__="up", cluster="federated"}`}},
		"an external label is not stored": {labels.MustNewMatcher(labels.MatchEqual, "cluster", "old"), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, warnings, err := read(t, client(t, address), 0, math.MaxInt64, test.matcher)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			want := map[string]bool{}
			for _, w := range test.want {
				want[w] = true
			}
			have := map[string]bool{}
			for s := range got {
				have[s] = true
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	t.Run("an answer with other external labels is an error", func(t *testing.T) {
		src.external = labels.FromStrings("cluster", "old")
		if got, _, err := read(t, client(t, address), 0, math.MaxInt64); err == nil {
			t.Errorf("%d series, no error", len(got))
		}
	})
}

func TestLabelsThatCannotBeToldApartAreRefused(t *testing.T) {
	_, address := pair(t, labelled(t, "old"))
	code, text := get(t, address+"/-/ready")
	if code != http.StatusServiceUnavailable || !strings.Contains(text, `cluster="old" is also stored`) {
		t.Errorf("%d %s", code, text)
	}
	if _, _, err := read(t, client(t, address), 0, math.MaxInt64); err == nil {
		t.Error("no error")
	}
}

func TestATargetThatAsksForItsOwnLabelsIsRefused(t *testing.T) {
	const filtered = "global: {external_labels: {prometheus: new}}\nremote_read: [{url: 'http://secret@x', filter_external_labels: true}]\n"
	for name, test := range map[string]struct {
		config string
		code   int
	}{
		"with the filter":                     {filtered, http.StatusServiceUnavailable},
		"without it":                          {strings.Replace(filtered, ", filter_external_labels: true", "", 1), http.StatusOK},
		"with the filter and no label at all": {"remote_read: [{filter_external_labels: true}]", http.StatusOK},
		"no YAML":                             {"secret: [", http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTarget(splitAt)
			x.config = test.config
			_, address := newShim(t, Options{Source: server.Options{URL: (&source{db: newDB(t)}).serve(t)}, Target: server.Options{URL: x.serve(t)}})
			code, text := get(t, address+"/-/ready")
			if code != test.code || strings.Contains(text, "secret") {
				t.Errorf("%d %s", code, text)
			}
		})
	}
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
