package skew

import (
	"slices"
	"strings"
)

// knownFlags are all flags of Known(), as its /api/v1/status/flags tells them, the hidden ones included; sorted.
func knownFlags() []string {
	return []string{
		"agent", "alertmanager.drain-notification-queue-on-shutdown", "alertmanager.notification-batch-size", "alertmanager.notification-queue-capacity",
		"auto-gomaxprocs", "auto-gomemlimit", "auto-gomemlimit.ratio", "auto-gomemlimit.refresh-interval", "config.auto-reload", "config.auto-reload-interval",
		"config.file", "enable-feature", "log.format", "log.level", "query.lookback-delta", "query.max-concurrency", "query.max-samples", "query.timeout",
		"rules.alert.for-grace-period", "rules.alert.for-outage-tolerance", "rules.alert.resend-delay", "rules.max-concurrent-evals", "scrape.adjust-timestamps",
		"scrape.discovery-reload-interval", "scrape.timestamp-tolerance", "storage.agent.checkpoint-batch-size", "storage.agent.checkpoint-from-in-memory-series",
		"storage.agent.no-lockfile", "storage.agent.path", "storage.agent.retention.max-time", "storage.agent.retention.min-time", "storage.agent.wal-compression",
		"storage.agent.wal-compression-type", "storage.agent.wal-segment-size", "storage.agent.wal-truncate-frequency", "storage.remote.flush-deadline",
		"storage.remote.read-concurrent-limit", "storage.remote.read-max-bytes-in-frame", "storage.remote.read-sample-limit", "storage.tsdb.allow-overlapping-compaction",
		"storage.tsdb.block-reload-interval", "storage.tsdb.delay-compact-file.path", "storage.tsdb.delayed-compaction.max-percent",
		"storage.tsdb.head-chunks-write-queue-size", "storage.tsdb.max-block-chunk-segment-size", "storage.tsdb.max-block-duration", "storage.tsdb.min-block-duration",
		"storage.tsdb.no-lockfile", "storage.tsdb.path", "storage.tsdb.retention.size", "storage.tsdb.retention.time", "storage.tsdb.samples-per-chunk",
		"storage.tsdb.wal-compression", "storage.tsdb.wal-compression-type", "storage.tsdb.wal-segment-size", "web.config.file", "web.console.libraries",
		"web.console.templates", "web.cors.origin", "web.enable-admin-api", "web.enable-lifecycle", "web.enable-otlp-receiver", "web.enable-remote-write-receiver",
		"web.external-url", "web.listen-address", "web.max-connections", "web.max-notifications-subscribers", "web.page-title", "web.read-timeout",
		"web.remote-write-receiver.accepted-protobuf-messages", "web.route-prefix", "web.search.max-limit", "web.user-assets", "write-documentation",
	}
}

// KnowsFlag says that Known() takes a flag of this name, or of this name without the no- in front.
func KnowsFlag(name string) bool {
	all := knownFlags()
	_, plain := slices.BinarySearch(all, name)
	_, turned := slices.BinarySearch(all, strings.TrimPrefix(name, "no-"))
	return plain || turned
}
