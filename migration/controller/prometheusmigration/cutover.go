package prometheusmigration

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/workload"
)

func cutoverName(m *v1alpha1.PrometheusMigration) string { return m.Name + "-cutover" }

// cutoverSecrets are those with what lets the job in elsewhere; each is mounted as a folder of its name.
func cutoverSecrets(m *v1alpha1.PrometheusMigration) (names []string) {
	for _, g := range m.Spec.Cutover.Grafana {
		if g.TokenSecretName != "" {
			names = append(names, g.TokenSecretName)
		}
	}
	if h := m.Spec.Source.Host; h.SSHKeySecretName != "" {
		names = append(names, h.SSHKeySecretName)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// writeCutover writes the file of slipway prometheus cutover. It names files with secrets and holds none.
func (r *Reconciler) writeCutover(ctx context.Context, s *scope) error {
	p, err := s.plan(course.StageCutOver)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(cutoverSpec(s.migration, s.source, p.Config.Name(), p.Port()))
	if err != nil {
		return fmt.Errorf("writing the cutover's file: %w", err)
	}
	secret := &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: cutoverName(s.migration), Labels: map[string]string{v1alpha1.NameLabel: s.migration.Name}},
		Data:       map[string][]byte{workload.SpecKey: text}}
	if owner := s.owner(); owner != nil {
		secret.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return s.cluster.Put(ctx, fieldManager, secret)
}

// handsOver says what of the source's sending moves.
func (s *source) handsOver(m *v1alpha1.PrometheusMigration) (alerting, remoteWrite bool) {
	return s.hasAlerting && m.Spec.Cutover.Alertmanager != v1alpha1.HandOverLeaves, s.hasRemoteWrite && m.Spec.Cutover.RemoteWrite != v1alpha1.HandOverLeaves
}

// checkHandOver says what is missing for the edits of the source.
func (s *source) checkHandOver(m *v1alpha1.PrometheusMigration) string {
	alerting, remoteWrite := s.handsOver(m)
	if h := m.Spec.Source.Host; !alerting && !remoteWrite || h.SSHKeySecretName != "" && h.KnownHostKey != "" && h.Address != "" {
		return ""
	}
	return "the source sends alerts or samples, and moving them edits its file over SSH: give address, sshKeySecretName and knownHostKey, or leave them with it " +
		"(spec.cutover.alertmanager and remoteWrite: Leave)"
}

// cutoverSpec follows migration/cutover, Spec. The target's file is written by this controller, the source's over SSH.
func cutoverSpec(m *v1alpha1.PrometheusMigration, s *source, configFile string, port uint16) map[string]any {
	at := func(service string) string {
		return "http://" + net.JoinHostPort(fmt.Sprintf("%s.%s.svc", service, m.Namespace), strconv.Itoa(int(port)))
	}
	pod, users := at(target.PodServiceName(m.Spec.Target)), at(target.ServiceName(m.Spec.Target))
	from := map[string]any{"url": m.Spec.Source.URL}
	alerting, remoteWrite := s.handsOver(m)
	if h := m.Spec.Source.Host; (alerting || remoteWrite) && h.SSHKeySecretName != "" {
		host := map[string]any{"address": h.Address, "user": cmp.Or(h.User, "root"), "keyFile": workload.SecretFolder(h.SSHKeySecretName) + "/" + corev1.SSHAuthPrivateKey, "knownHostKey": h.KnownHostKey}
		if h.Port != 0 {
			host["port"] = h.Port
		}
		from["configFile"], from["host"], from["reloadBy"] = configFile, host, "Manual"
		if s.facts.Flags["web.enable-lifecycle"] == "true" {
			from["reloadBy"] = "HTTP"
		}
	}
	spec := map[string]any{"source": from, "target": map[string]any{"url": pod, "reloadBy": "Declared"}, "usersService": true}
	if alerting {
		spec["alerting"] = map[string]any{}
	}
	if remoteWrite {
		spec["remoteWrite"] = map[string]any{}
	}
	var grafana []any
	for _, g := range m.Spec.Cutover.Grafana {
		one := map[string]any{"url": g.URL, "oldURL": m.Spec.Source.URL, "newURL": users}
		if g.TokenSecretName != "" {
			one["tokenFile"] = workload.SecretFolder(g.TokenSecretName) + "/token"
		}
		if len(g.DataSourceUIDs) > 0 {
			one["dataSourceUIDs"] = g.DataSourceUIDs
		}
		grafana = append(grafana, one)
	}
	if len(grafana) > 0 {
		spec["grafana"] = grafana
	}
	return spec
}
