package target

import (
	"time"

	"github.com/prometheus/common/model"

	"github.com/slipway-dev/slipway/migration/config"
)

// defaultScrape is the interval of a job that names none, where global names none either (config/config.go of Prometheus).
const defaultScrape = time.Minute

// LongestScrape is the longest interval at which a configuration scrapes. What is not a duration counts as the default.
func LongestScrape(f *config.File) time.Duration {
	read := func(text string, otherwise time.Duration) time.Duration {
		if d, err := model.ParseDuration(text); err == nil && d > 0 {
			return time.Duration(d)
		}
		return otherwise
	}
	global := read(text(f.Node("global"), "scrape_interval"), defaultScrape)
	longest := time.Duration(0)
	for _, job := range items(f.Node(), "scrape_configs") {
		longest = max(longest, read(text(job, "scrape_interval"), global))
	}
	if longest == 0 || f.Has("scrape_config_files") { // jobs of other files may have any; they begin with the global one
		longest = max(longest, global)
	}
	return longest
}
