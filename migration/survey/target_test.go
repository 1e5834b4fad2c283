package survey

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpeningsAreGroupedByNetworkAndPort(t *testing.T) {
	got := openings([]way{
		{"http://10.1.2.30:9100/metrics", "node", "dial tcp 10.1.2.30:9100: i/o timeout"}, {"http://10.1.2.3:9100/metrics", "node", "other"},
		{"http://10.1.2.3:9104/metrics", "mysql", ""}, {"https://db.example.org/metrics", "db", ""}, {"http://lonely/metrics", "x", ""},
		{"http://[2001:db8::1]:9100/metrics", "six", ""}, {"http://10.1.2.3:9100/other", "node2", ""}, {"(no address)", "y", ""},
	})
	want := []Opening{
		{"(no address)", "?", []string{"(no address)"}, []string{"y"}, ""},
		{"*.example.org", "443", []string{"db.example.org"}, []string{"db"}, ""},
		{"10.1.2.0/24", "9100", []string{"10.1.2.3", "10.1.2.30"}, []string{"node", "node2"}, "dial tcp 10.1.2.30:9100: i/o timeout"},
		{"10.1.2.0/24", "9104", []string{"10.1.2.3"}, []string{"mysql"}, ""},
		{"2001:db8::/64", "9100", []string{"2001:db8::1"}, []string{"six"}, ""},
		{"lonely", "80", []string{"lonely"}, []string{"x"}, ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUnreachableIsAboutTheWay(t *testing.T) {
	for text, want := range map[string]bool{
		"dial tcp 127.0.0.1:1: connect: connection refused": true, "context deadline exceeded": true, "dial tcp: lookup x: no such host": true,
		"server returned HTTP status 401 Unauthorized": false, "tls: failed to verify certificate: x509: unknown authority": false,
		"received unsupported Content-Type \"\" and no fallback_scrape_protocol specified for target": false, "": false,
	} {
		if got := unreachable(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestScrapeErrorLosesTheAddress(t *testing.T) {
	if got := scrapeError(`Get "http://x/metrics?token=hunter2": dial tcp: refused`); got != "dial tcp: refused" {
		t.Error(got)
	}
}
