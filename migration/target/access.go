package target

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// user is whom the server's container runs as, and whether that was said.
func (w Wanted) user() (uid int64, said bool) {
	s := w.Pod.Spec.SecurityContext
	if s != nil && s.RunAsUser != nil {
		uid, said = *s.RunAsUser, true
	}
	for _, c := range w.Pod.Spec.Containers {
		if c.Name == "prometheus" && c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
			uid, said = *c.SecurityContext.RunAsUser, true
		}
	}
	return uid, said
}

// ownership looks whether the server's user may write: a new volume belongs to root, and the kubelet gives it to fsGroup alone
// (pkg/volume/volume_linux.go, SetVolumeOwnership), on file systems that it mounts itself.
func (w Wanted) ownership(v *corev1.PersistentVolume) []Finding {
	uid, said := w.user()
	if said && uid == 0 {
		return nil
	}
	var group *int64
	if s := w.Pod.Spec.SecurityContext; s != nil {
		group = s.FSGroup
	}
	who := "the user of the image"
	if said {
		who = fmt.Sprintf("uid %d", uid)
	}
	f := Finding{Rule: RuleOwnership, Where: "securityContext of the pod"}
	switch {
	case group == nil:
		f.Verdict, f.Says = Refused, who+" has no fsGroup: a new volume belongs to root, and the server ends with \"mkdir data/: permission denied\""
		f.Fix = fmt.Sprintf("say fsGroup: %d", max(uid, 1))
	case v != nil && v.Spec.HostPath != nil:
		f.Verdict, f.Says = Look, fmt.Sprintf("volume %s is a folder of a node (hostPath %s), whose owner the kubelet never changes", v.Name, v.Spec.HostPath.Path)
		f.Fix = fmt.Sprintf("on that node: chown %d:%d %s", uid, *group, v.Spec.HostPath.Path)
	case v != nil && network(v):
		f.Verdict, f.Says = Look, fmt.Sprintf("volume %s lies on a network file system, whose owner the kubelet does not change", v.Name)
		f.Fix = fmt.Sprintf("on its server: chown %d:%d, and no squashing of that user", uid, *group)
	default:
		return nil
	}
	return []Finding{f}
}

// security holds the pod against the standard of its namespace, with the checks of the API server itself, and against OpenShift's uids.
func (w Wanted) security(ns *corev1.Namespace) []Finding {
	all := w.openShift(ns)
	wanted, bad := api.PolicyToEvaluate(ns.Labels, api.Policy{Enforce: api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}})
	where := "Namespace " + ns.Name
	if len(bad) > 0 {
		all = append(all, Finding{Rule: RulePodSecurity, Verdict: Look, Where: where, Says: "its labels of pod security cannot be read, and the API server then enforces restricted: " + bad.ToAggregate().Error(),
			Fix: "kubectl get namespace " + ns.Name + " --show-labels"})
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return append(all, Finding{Rule: RulePodSecurity, Verdict: Look, Where: where, Says: "the standards could not be loaded: " + err.Error(), Fix: "try the pod with kubectl apply --dry-run=server"})
	}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(wanted.Enforce, &w.Pod.ObjectMeta, &w.Pod.Spec))
	if !result.Allowed {
		all = append(all, Finding{Rule: RulePodSecurity, Verdict: Refused, Where: where, Says: fmt.Sprintf("it enforces %s, and the API server refuses the pod: %s", wanted.Enforce.Level, result.ForbiddenDetail()),
			Fix: fmt.Sprintf("mend the pod in the template; or, if the namespace may, kubectl label --overwrite namespace %s pod-security.kubernetes.io/enforce=%s", ns.Name, w.lowest(evaluator))})
	}
	return all
}

// lowest is the strictest standard that the pod meets.
func (w Wanted) lowest(e policy.Evaluator) api.Level {
	lv := api.LevelVersion{Level: api.LevelBaseline, Version: api.LatestVersion()}
	if policy.AggregateCheckResults(e.EvaluatePod(lv, &w.Pod.ObjectMeta, &w.Pod.Spec)).Allowed {
		return lv.Level
	}
	return api.LevelPrivileged
}

// OpenShift's annotations of a namespace: first/count or first-last; https://docs.openshift.com, "Managing security context constraints".
const (
	annotationUIDs   = "openshift.io/sa.scc.uid-range"
	annotationGroups = "openshift.io/sa.scc.supplemental-groups"
)

func (w Wanted) openShift(ns *corev1.Namespace) []Finding {
	var all []Finding
	check := func(annotation, field string, id int64) {
		text, there := ns.Annotations[annotation]
		first, last, err := idRange(text)
		if !there || err == nil && id >= first && id <= last {
			return
		}
		says := fmt.Sprintf("OpenShift gives its pods %s, and %s is %d: its default constraint (restricted-v2) refuses the pod", text, field, id)
		if err != nil {
			says = fmt.Sprintf("its annotation %s is %q, which cannot be read", annotation, text)
		}
		all = append(all, Finding{Rule: RuleUIDRange, Verdict: Refused, Where: "Namespace " + ns.Name, Says: says,
			Fix: fmt.Sprintf("say %s: %d, and give the data to it; or oc adm policy add-scc-to-user nonroot-v2 -z default -n %s", field, first, ns.Name)})
	}
	if uid, said := w.user(); said {
		check(annotationUIDs, "runAsUser", uid)
	}
	if s := w.Pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		check(annotationGroups, "fsGroup", *s.FSGroup)
	}
	return all
}

// idRange reads "1000650000/10000" and "1000650000-1000659999"; of several, the first.
func idRange(text string) (first, last int64, err error) {
	text, _, _ = strings.Cut(text, ",")
	start, count, slash := strings.Cut(text, "/")
	if !slash {
		start, count, _ = strings.Cut(text, "-")
	}
	if first, err = strconv.ParseInt(strings.TrimSpace(start), 10, 64); err != nil {
		return 0, 0, fmt.Errorf("reading a range of ids: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("reading a range of ids: %w", err)
	}
	if slash {
		n += first - 1
	}
	return first, n, nil
}

// node looks whether a node has both: the volume, and room for the pod as it is told to stand.
func (w Wanted) node(c Cluster, v *corev1.PersistentVolume) []Finding {
	if c.Nodes == nil {
		return nil
	}
	pod := nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: w.Pod.Spec})
	var allowed, holding, both []string
	for i := range c.Nodes {
		n := &c.Nodes[i]
		may, err := pod.Match(n)
		may = may && err == nil && w.untainted(n)
		has := v == nil || reaches(v, n)
		if may {
			allowed = append(allowed, n.Name)
		}
		if has {
			holding = append(holding, n.Name)
		}
		if may && has {
			both = append(both, n.Name)
		}
	}
	f := Finding{Rule: RuleNode, Verdict: Refused, Where: "the server's pod"}
	switch {
	case len(both) > 0:
		return nil
	case len(allowed) == 0:
		f.Says, f.Fix = fmt.Sprintf("none of %d nodes takes it: its nodeSelector, affinity and tolerations match none", len(c.Nodes)), "mend them in the template, or label a node: kubectl label node NAME KEY=VALUE"
	case len(holding) == 0:
		f.Where = "PersistentVolume " + v.Name
		f.Says, f.Fix = fmt.Sprintf("its nodeAffinity matches none of %d nodes: the node that had it is gone or has another name", len(c.Nodes)), "use another volume; the affinity of a PersistentVolume cannot be changed"
	default:
		f.Where = "PersistentVolume " + v.Name
		f.Says = fmt.Sprintf("it can be reached from %s alone, and the server may stand on %s", names(holding), names(allowed))
		f.Fix = "let the server stand there: nodeSelector or a toleration in the template"
	}
	return []Finding{f}
}

func names(list []string) string {
	slices.Sort(list)
	if len(list) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:5], ", "), len(list)-5)
	}
	return strings.Join(list, ", ")
}

func reaches(v *corev1.PersistentVolume, n *corev1.Node) bool {
	if v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
		return true
	}
	s, err := nodeaffinity.NewNodeSelector(v.Spec.NodeAffinity.Required)
	return err == nil && s.Match(n)
}

// untainted says that no taint of the node keeps the pod away. Those that Kubernetes sets by a node's state come and go.
func (w Wanted) untainted(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule || strings.HasPrefix(t.Key, "node.kubernetes.io/") {
			continue
		}
		if !slices.ContainsFunc(w.Pod.Spec.Tolerations, func(o corev1.Toleration) bool {
			return (o.Effect == "" || o.Effect == t.Effect) && (o.Key == t.Key && (o.Operator == corev1.TolerationOpExists || o.Value == t.Value) || o.Key == "" && o.Operator == corev1.TolerationOpExists)
		}) {
			return false
		}
	}
	return true
}
