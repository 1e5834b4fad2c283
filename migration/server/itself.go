package server

import (
	"fmt"
	"strconv"
)

// ProcessStart is when a server's process started, in seconds, as its own /metrics has it.
const ProcessStart = "process_start_time_seconds"

// ItselfQuery asks for the targets by which a server scrapes itself: those of a Prometheus whose process started when the server's own did.
// The result has their labels.
func ItselfQuery(start float64) string {
	return fmt.Sprintf("%s == %s and on (job, instance) prometheus_build_info", ProcessStart, strconv.FormatFloat(start, 'g', -1, 64))
}
