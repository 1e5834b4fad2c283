package target

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"
)

// The names of findings about Prometheus Operator; each is a trap in which a move loses data or hides it.
const (
	RuleOperatorReplicas   = "operator-replicas"
	RuleOperatorStorage    = "operator-storage"
	RuleOperatorSubPath    = "operator-sub-path"
	RuleOperatorThanos     = "operator-thanos"
	RuleOperatorCompaction = "operator-compaction"
	RuleOperatorJobs       = "operator-jobs"
	RuleOperatorFiles      = "operator-files"
	RuleOperatorRules      = "operator-rules"
	RuleOperatorSettings   = "operator-settings"
	RuleOperatorArguments  = "operator-arguments"
	RuleOperatorPaused     = "operator-paused"
	RuleOperatorOwner      = "operator-owner"
	RuleOperatorLimits     = "operator-limits"
	RuleOperatorUser       = "operator-user"
	RuleOperatorVariables  = "operator-variables"
	RuleOperatorShim       = "operator-shim"
	// RuleOperatorRemoteWrite is about samples that would be written by nobody, RuleOperatorClaim about a claim that goes with its StatefulSet.
	RuleOperatorRemoteWrite = "operator-remote-write"
	RuleOperatorClaim       = "operator-claim"
	// RuleOperatorAbsent, RuleOperatorPrometheus and RuleOperatorService are found in the cluster alone: no operator, no such object, and a Service of
	// the users' name that is somebody else's.
	RuleOperatorAbsent     = "operator-absent"
	RuleOperatorPrometheus = "operator-prometheus"
	RuleOperatorService    = "operator-service"
)

// reword gives findings of a plan the fix that there is with the operator, which has no template.
func (x *Operator) reword() {
	fixes := map[string]string{
		RuleFileNeeded: "give it beside the configuration; what is secret goes into a Secret that spec.volumes and spec.volumeMounts bring to this path",
		RuleKubernetes: "give the account in spec.serviceAccountName the needed rights",
		RuleWebConfig:  "the move and the users' Service speak plain HTTP to it",
	}
	for i, f := range x.Findings {
		switch fix := fixes[f.Rule]; {
		case fix != "":
			x.Findings[i].Fix = fix
		case f.Rule == RuleOldTarget:
			x.Findings[i].Where = "spec.version"
		case f.Rule == RuleUnknownFlag:
			x.Findings[i].Fix = "if the target needs it, add it to spec.additionalArgs"
		}
		x.Findings[i].Where = strings.Replace(x.Findings[i].Where, "target.statefulSet.", "target.prometheus.", 1)
	}
}

// checkTraps names what the operator does by itself (pkg/prometheus of Prometheus Operator).
func (x *Operator) checkTraps() {
	s := x.before.Spec
	if n := ptr.Deref(s.Replicas, 1) * ptr.Deref(s.Shards, 1); n != 1 {
		x.found(RuleOperatorReplicas, Refused, "spec.replicas", fmt.Sprintf("there are %d pods, each with a volume of its own: blocks are installed into one", n),
			"set replicas and shards to 1 for the time of the move")
	}
	switch {
	case s.Storage == nil || s.Storage.EmptyDir != nil || s.Storage.Ephemeral != nil:
		x.found(RuleOperatorStorage, Refused, "spec.storage", "the data would lie in a volume that goes with the pod", "set spec.storage.volumeClaimTemplate")
	case !s.Storage.DisableMountSubPath:
		x.found(RuleOperatorSubPath, Look, "spec.storage",
			fmt.Sprintf("the operator mounts the folder prometheus-db of claim %s: blocks belong there and not at the volume's root", VolumeOf(x.before).Claim),
			"give the puller that folder as its directory")
	}
	const goes = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	if r := s.PersistentVolumeClaimRetentionPolicy; r != nil && (r.WhenDeleted == goes || r.WhenScaled == goes) {
		x.found(RuleOperatorClaim, Refused, "spec.persistentVolumeClaimRetentionPolicy",
			"the claim goes with its StatefulSet, which the operator deletes and makes again where a field of it cannot be changed: the whole history would go", "set both to Retain")
	}
	x.checkPod()
	x.checkCompaction()
	x.checkSelectors()
	x.checkGlobals()
}

// checkPod looks at what the pods of the move have to do with the server's.
func (x *Operator) checkPod() {
	s := x.before.Spec
	if s.Paused {
		x.found(RuleOperatorPaused, Refused, "spec.paused", "the operator leaves a paused Prometheus alone: no patch has any effect", "set it to false")
	}
	if s.SecurityContext == nil || s.SecurityContext.RunAsUser == nil {
		x.found(RuleOperatorUser, Look, "spec.securityContext",
			"the server runs as the user of its image, which is not known here: blocks that another user installs cannot be deleted by it",
			"set runAsUser, runAsGroup, fsGroup and runAsNonRoot")
	}
	if s.ListenLocal {
		x.found(RuleOperatorSettings, Refused, "spec.listenLocal", "nobody outside of the pod reaches the server: not the move, not the users' Service", "set it to false")
	}
	if s.Web != nil && s.Web.TLSConfig != nil {
		x.found(RuleWebConfig, Refused, "spec.web.tlsConfig", "the move and the users' Service speak plain HTTP to it", "take it out for the time of the move")
	}
	if by, itself := x.managedBy(); by != "" {
		verdict, when := Look, "with the next release"
		if itself { // the retention of the sources would be back within minutes, and with it 24h by default
			verdict, when = Refused, "by itself: with the retention that its sources have, what was brought would be deleted"
		}
		x.found(RuleOperatorOwner, verdict, "metadata", by+" writes this Prometheus, and takes the patch back "+when,
			"stop it for this object until the move has ended, then put the patch into its sources")
	}
}

// managedBy names a program that keeps objects as its sources have them, by the marks that it leaves, and says whether it does so by itself.
func (x *Operator) managedBy() (program string, itself bool) {
	m := x.before.ObjectMeta
	marks := []struct {
		label, program string
		itself         bool
	}{
		{"argocd.argoproj.io/instance", "Argo CD", true}, {"argocd.argoproj.io/tracking-id", "Argo CD", true},
		{"kustomize.toolkit.fluxcd.io/name", "Flux", true}, {"helm.toolkit.fluxcd.io/name", "Flux", true}, {"meta.helm.sh/release-name", "Helm", false},
	}
	for _, mark := range marks {
		if m.Labels[mark.label] != "" || m.Annotations[mark.label] != "" {
			return mark.program, mark.itself
		}
	}
	return "", false
}

// checkCompaction looks at what decides about the length of blocks and who else reads them.
func (x *Operator) checkCompaction() {
	s := x.before.Spec
	if s.Thanos != nil {
		x.found(RuleOperatorThanos, Refused, "spec.thanos", "the sidecar uploads installed blocks of the source, and the operator holds back or forbids compaction while it does",
			"take spec.thanos out for the time of the move, or let it pass if the history is wanted in the object storage")
	}
	if s.DisableCompaction {
		x.found(RuleOperatorCompaction, Refused, "spec.disableCompaction", "the operator sets blocks of 2h at least and at most, the source has longer ones",
			"set it to false for the time of the move")
	}
}

// checkSelectors looks at what the operator adds to the source's jobs and rules.
func (x *Operator) checkSelectors() {
	s := x.before.Spec
	if s.AdditionalScrapeConfigs != nil {
		x.found(RuleOperatorJobs, Refused, "spec.additionalScrapeConfigs", "there are jobs of "+s.AdditionalScrapeConfigs.Name+" already, and the source's would take their place",
			"put them into the source's configuration, or make ScrapeConfigs of them")
	}
	if s.ServiceMonitorSelector != nil || s.PodMonitorSelector != nil || s.ProbeSelector != nil || s.ScrapeConfigSelector != nil {
		x.found(RuleOperatorJobs, Look, "spec", "it scrapes what monitors and ScrapeConfigs select, beside the source's jobs",
			"make sure that no target is in both: its series would be there twice")
	}
	if s.RuleSelector == nil {
		x.found(RuleOperatorRules, Refused, "spec.ruleSelector", "without a selector the operator takes no PrometheusRule at all", "set it, {} for all of the namespace")
	} else if len(s.RuleSelector.MatchExpressions) > 0 {
		x.found(RuleOperatorRules, Look, "spec.ruleSelector", "it has expressions, which the written rules may not match", "give them the labels that it asks for")
	}
	if s.RuleNamespaceSelector != nil && len(s.RuleNamespaceSelector.MatchLabels)+len(s.RuleNamespaceSelector.MatchExpressions) > 0 {
		x.found(RuleOperatorRules, Look, "spec.ruleNamespaceSelector", "it takes rules of some namespaces alone", "make sure that it selects "+x.o.Migration.Namespace)
	}
	if s.EnforcedNamespaceLabel != "" {
		x.found(RuleOperatorRules, Refused, "spec.enforcedNamespaceLabel",
			"the operator writes the label "+s.EnforcedNamespaceLabel+" into each expression and each result: the source's rules would find other series",
			"take it out for the time of the move")
	}
}

// checkGlobals looks at what holds for every job, the source's too, unless a job says something else.
func (x *Operator) checkGlobals() {
	s := x.before.Spec
	for _, f := range []struct {
		field string
		set   bool
		key   string
	}{
		{"sampleLimit", s.SampleLimit != nil || s.EnforcedSampleLimit != nil, "sample_limit"},
		{"targetLimit", s.TargetLimit != nil || s.EnforcedTargetLimit != nil, "target_limit"},
		{"labelLimit", s.LabelLimit != nil || s.EnforcedLabelLimit != nil, "label_limit"},
		{"labelNameLengthLimit", s.LabelNameLengthLimit != nil || s.EnforcedLabelNameLengthLimit != nil, "label_name_length_limit"},
		{"labelValueLengthLimit", s.LabelValueLengthLimit != nil || s.EnforcedLabelValueLengthLimit != nil, "label_value_length_limit"},
		{"bodySizeLimit", s.BodySizeLimit != nil || s.EnforcedBodySizeLimit != "", "body_size_limit"},
		{"scrapeProtocols", len(s.ScrapeProtocols) > 0, "scrape_protocols"},
		{"scrapeClassicHistograms", s.ScrapeClassicHistograms != nil, "always_scrape_classic_histograms"},
		{"convertClassicHistogramsToNHCB", s.ConvertClassicHistogramsToNHCB != nil, "convert_classic_histograms_to_nhcb"},
	} {
		if f.set && value(x.Config.Node("global"), f.key) == nil {
			x.found(RuleOperatorLimits, Refused, "spec."+f.field, "it holds for the source's jobs as well, and the source has no such setting: targets would be scraped otherwise, or not at all",
				"take it out (the enforced one, too) for the time of the move, or give the source's jobs "+f.key)
		}
	}
}
