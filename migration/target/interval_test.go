package target

import (
	"testing"
	"time"
)

func TestLongestScrape(t *testing.T) {
	cases := []struct {
		name, text string
		want       time.Duration
	}{
		{"a server that says nothing scrapes every minute", "scrape_configs: [{job_name: a}]\n", time.Minute},
		{"the global interval counts for jobs without one", "global: {scrape_interval: 15s}\nscrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 5s}]\n", 15 * time.Second},
		{"the longest job counts", "global: {scrape_interval: 15s}\nscrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 1h30m}]\n", 90 * time.Minute},
		{"a global interval that no job uses does not count", "global: {scrape_interval: 5m}\nscrape_configs: [{job_name: b, scrape_interval: 10s}]\n", 10 * time.Second},
		{"but it does where jobs stand in other files", "global: {scrape_interval: 5m}\nscrape_config_files: [x]\nscrape_configs: [{job_name: b, scrape_interval: 10s}]\n", 5 * time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := LongestScrape(parse(t, c.text)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
