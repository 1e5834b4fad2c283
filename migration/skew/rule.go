package skew

// Rule is one way in which versions differ. Since is nil where the rule is no matter of versions or where each finding
// names its own.
type Rule struct {
	Name   string
	Since  *Version
	Source string
}

// The names of the rules; docs/prometheus-version-skew.md has a section for each.
const (
	ruleBucketValue      = "bucket-value"
	ruleRange            = "left-open-range"
	ruleSubquery         = "left-open-subquery"
	ruleLookback         = "left-open-lookback"
	ruleNewline          = "regex-newline"
	ruleHoltWinters      = "holt-winters"
	ruleNativeQuantile   = "native-histogram-interpolation"
	ruleSelfMetric       = "self-metric"
	ruleContentType      = "content-type"
	ruleDefaultPort      = "default-port"
	ruleAlertmanagerV1   = "alertmanager-v1"
	ruleUTF8             = "utf8-names"
	ruleClassicOption    = "classic-histograms-option"
	ruleRemoteWriteHTTP2 = "remote-write-http2"
	ruleRemoteRetries    = "remote-write-retries"
	ruleExternalLabels   = "external-label-variables"
	ruleKubernetesBeta   = "kubernetes-beta-api"
	ruleHetzner          = "hetzner-datacenter"
	ruleRemovedFlag      = "removed-flag"
	ruleFeatureFlag      = "feature-flag"
	ruleExternalURL      = "external-url"
	ruleLogFormat        = "log-format"
	ruleAutoLimits       = "auto-limits"
	ruleDowngrade        = "tsdb-downgrade"
	ruleUnparsed         = "unparsed-expression"
	ruleUnreadable       = "unreadable-file"
)

const (
	guide = "migration guide of 3.0, "
	pull  = "https://github.com/prometheus/prometheus/pull/"
)

// Rules lists every rule. The sources were read in the trees of v2.55.0 and of the version in Since.
func Rules() []Rule {
	v3 := &Version{3, 0, 0}
	return []Rule{
		// model/textparse/openmetricsparse.go, normalizeFloatsInLabelValues; absent in v2.55.0 but for protobuf.
		{ruleBucketValue, v3, guide + "le and quantile label values; " + pull + "15164"},
		// promql/engine.go: mint is excluded in v3.0.0, included in v2.55.0.
		{ruleRange, v3, guide + "Range selectors and lookback; " + pull + "13904"},
		// promql/engine.go, eval of SubqueryExpr: the first step at the left boundary is skipped in v3.0.0.
		{ruleSubquery, v3, guide + "Range selectors and lookback; " + pull + "13904"},
		// promql/engine.go, vectorSelectorSingle: t <= refTime-lookback is too old in v3.0.0, t < in v2.55.0.
		{ruleLookback, v3, guide + "Range selectors and lookback; " + pull + "13904"},
		// model/labels/regexp.go and model/relabel/relabel.go: "^(?s:" in v3.0.0, "^(?:" in v2.55.0.
		{ruleNewline, v3, guide + "Regular expressions match newlines; " + pull + "14505"},
		// promql/parser/functions.go: holt_winters is gone, double_exponential_smoothing is Experimental.
		{ruleHoltWinters, v3, guide + "holt_winters function renamed; " + pull + "14930"},
		{ruleNativeQuantile, v3, "changelog of 3.0.0; " + pull + "14677"},
		{ruleSelfMetric, nil, "changelog of 2.8.0, 2.11.0, 2.13.0, 2.23.0, 2.27.0; " + pull + "6815"},
		// config/config.go: fallback_scrape_protocol is known from v3.0.0 on.
		{ruleContentType, v3, guide + "Scrape protocols; " + pull + "15136"},
		// scrape/target.go, PopulateLabels: addPort is gone in v3.0.0.
		{ruleDefaultPort, v3, guide + "Flags, no-default-scrape-port; " + pull + "14160"},
		// config/config.go: SupportedAlertmanagerAPIVersions holds v2 alone in v3.0.0.
		{ruleAlertmanagerV1, v3, guide + "Disallow configuring Alertmanager with the v1 API; " + pull + "13883"},
		{ruleUTF8, v3, guide + "UTF-8 names; " + pull + "14705"},
		// config/config.go: scrape_classic_histograms in v2.45.0 to v2.55.0, always_scrape_classic_histograms from v3.0.0 on.
		{ruleClassicOption, v3, guide + "Configuration; " + pull + "15178"},
		// config/config.go: DefaultRemoteWriteHTTPClientConfig.
		{ruleRemoteWriteHTTP2, v3, guide + "Configuration; " + pull + "15219"},
		{ruleRemoteRetries, &Version{2, 11, 0}, "changelog of 2.11.0; " + pull + "5649"},
		// config/config.go, Load: os.Expand over external labels without asking for the feature.
		{ruleExternalLabels, v3, guide + "Flags, expand-external-labels; " + pull + "14657"},
		// discovery/kubernetes/kubernetes.go: no v1beta1 in v3.0.0.
		{ruleKubernetesBeta, v3, "changelog of 3.0.0; " + pull + "14365"},
		// discovery/hetzner/hcloud.go: the label is not set in v3.14.0.
		{ruleHetzner, &Version{3, 14, 0}, "changelog of 3.14.0; " + pull + "19269"},
		// cmd/prometheus/main.go, compared release by release.
		{ruleRemovedFlag, nil, "changelog of 3.0.0; " + pull + "14640; " + pull + "14643"},
		// cmd/prometheus/main.go, setFeatureListOptions, compared release by release.
		{ruleFeatureFlag, nil, guide + "Flags; https://prometheus.io/docs/prometheus/latest/feature_flags/"},
		// cmd/prometheus/main.go, computeExternalURL.
		{ruleExternalURL, &Version{3, 16, 0}, "changelog of 3.16.0; " + pull + "19241"},
		{ruleLogFormat, v3, guide + "Log message format; " + pull + "14906"},
		{ruleAutoLimits, v3, guide + "Flags, auto-gomemlimit and auto-gomaxprocs; " + pull + "15373; " + pull + "15376"},
		{ruleDowngrade, v3, guide + "TSDB format and downgrade"},
		{ruleUnparsed, nil, "the parser of Prometheus 3.16"},
		{ruleUnreadable, nil, "the limits of this program"},
	}
}
