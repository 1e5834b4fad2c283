//go:build engine

package engine

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
)

func TestEachPrometheusStartsStopsAndKeepsItsData(t *testing.T) {
	for _, version := range []string{Prometheus242, Prometheus255, Prometheus316} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			address := FreeAddress(t)
			s := Start(t, Prometheus{Version: version, Address: address,
				Config: "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ['" + address + "']}]}]\n"})
			Eventually(t, "scraping itself", func() error { return sees(s, fmt.Sprintf(`prometheus_build_info{version=~"%s.*"}`, version)) })
			s.Kill()
			s.Restart()
			Eventually(t, "replaying", func() error { return sees(s, "count_over_time(up[1h])") })
			s.Configure("global: {external_labels: {a: b}}\n")
			s.Stop()
			if _, err := s.Ask("/api/v1/query", url.Values{"query": {"up"}}); err == nil {
				t.Error("a stopped server answers")
			}
		})
	}
}

func sees(s *Server, query string) error {
	a, err := s.Ask("/api/v1/query", url.Values{"query": {query}})
	if err != nil {
		return err
	}
	list, err := a.Series()
	if err == nil && len(list) != 1 {
		text, _ := json.Marshal(list)
		err = fmt.Errorf("%s gives %s", query, text)
	}
	return err
}
