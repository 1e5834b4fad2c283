package survey

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/slipway-dev/slipway/migration/server"
)

// Flags are those of a server's flags that a move depends on; durations in seconds.
type Flags struct {
	DataDir         string `json:"dataDir"`
	MinBlockSeconds int64  `json:"minBlockSeconds"`
	// MaxBlockSeconds is the largest span that the server compacts to: the largest of min × 3^n within its limit.
	MaxBlockSeconds int64 `json:"maxBlockSeconds"`
	// OverlappingCompaction says that blocks that overlap are merged.
	OverlappingCompaction bool     `json:"overlappingCompaction"`
	DelayCompactFile      string   `json:"delayCompactFile,omitempty"`
	Features              []string `json:"features,omitempty"`
	// On are the names of web.enable-… that are true.
	On          []string `json:"on,omitempty"`
	Agent       bool     `json:"agent,omitempty"`
	ExternalURL string   `json:"externalURL,omitempty"`
	RoutePrefix string   `json:"routePrefix,omitempty"`

	time, oldTime, size string
}

const defaultMinBlock = 2 * time.Hour

func readFlags(all map[string]string) Flags {
	f := Flags{
		DataDir: server.Clip(all["storage.tsdb.path"], 300), OverlappingCompaction: all["storage.tsdb.allow-overlapping-compaction"] != "false",
		DelayCompactFile: server.Clip(all["storage.tsdb.delay-compact-file.path"], 300), Agent: all["agent"] == "true",
		ExternalURL: withoutSecrets(all["web.external-url"]), RoutePrefix: server.Clip(all["web.route-prefix"], 200),
		time: all["storage.tsdb.retention.time"], oldTime: all["storage.tsdb.retention"], size: all["storage.tsdb.retention.size"],
	}
	if overlapping, known := all["storage.tsdb.allow-overlapping-blocks"]; known && overlapping == "false" {
		f.OverlappingCompaction = false // 2.8 to 2.38 refused overlaps unless this was set
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if short, ok := strings.CutPrefix(name, "web.enable-"); ok && all[name] == "true" {
			f.On = append(f.On, server.Clip(short, 60))
		}
	}
	for name := range strings.FieldsFuncSeq(all["enable-feature"], func(r rune) bool { return r == ',' || r == ' ' || r == '[' || r == ']' }) {
		f.Features = append(f.Features, server.Clip(name, 60))
	}
	f.Agent = f.Agent || slices.Contains(f.Features, "agent")
	least := seconds(all["storage.tsdb.min-block-duration"])
	if least <= 0 {
		least = int64(defaultMinBlock.Seconds())
	}
	f.MinBlockSeconds = least
	f.MaxBlockSeconds = largestRange(least, seconds(all["storage.tsdb.max-block-duration"]))
	return f
}

func (f Flags) minBlock() time.Duration { return time.Duration(f.MinBlockSeconds) * time.Second }

// largestRange follows tsdb.ExponentialBlockRanges(min, 10, 3), cut at the limit (tsdb/db.go, validateOpts and open).
func largestRange(least, limit int64) int64 {
	largest := least
	for range 9 {
		if largest > limit/3 {
			break
		}
		largest *= 3
	}
	return largest
}

// Retention is how long a server keeps data. Zero is no limit of that kind.
type Retention struct {
	Seconds int64 `json:"seconds"`
	Bytes   int64 `json:"bytes,omitempty"`
	// Share is a part of the disk, as the server tells it.
	Share string `json:"share,omitempty"`
	Text  string `json:"text"`
}

// readRetention reads time and share of what runtimeinfo tells: "15d", "15d or 10GiB", "10GiB", "15d or 80%".
func readRetention(text string) Retention {
	r := Retention{Text: server.Clip(text, 80)}
	for part := range strings.SplitSeq(text, " or ") {
		switch {
		case strings.HasSuffix(part, "%"):
			r.Share = server.Clip(part, 20)
		case seconds(part) > 0:
			r.Seconds = seconds(part)
		} // the size comes from the metrics, where it is exact
	}
	return r
}

// retention is what the flags say, for servers before 2.14: 15d where they say nothing, or a size alone.
func (f Flags) retention() Retention {
	r := Retention{Seconds: seconds(f.time)}
	if old := seconds(f.oldTime); old > 0 && (r.Seconds == 0 || f.time == "15d") {
		r.Seconds = old
	}
	if sized := f.size != "" && f.size != "0B"; r.Seconds == 0 && !sized {
		r.Seconds = int64((15 * 24 * time.Hour).Seconds())
	}
	r.Text = words(r.Seconds)
	return r
}

func seconds(text string) int64 {
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0
	}
	return int64(time.Duration(d) / time.Second)
}

func words(seconds int64) string {
	if seconds <= 0 {
		return "no limit"
	}
	return model.Duration(time.Duration(seconds) * time.Second).String()
}
