package workload

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// shop is the migration of the examples.
func shop() Options {
	return Options{
		Name: "ecs-metrics", Namespace: "monitoring", Image: "registry.shop/slipway:0.1.0", PullPolicy: corev1.PullIfNotPresent,
		PullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
		Owner:       &metav1.OwnerReference{APIVersion: "migration.slipway.dev/v1alpha1", Kind: "PrometheusMigration", Name: "ecs-metrics", UID: "8f3f3e9e-8e25-4d43-9a4b-1bd0a8b0d2f1", Controller: ptr.To(true)},
		Security:    &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1000), FSGroup: ptr.To[int64](2000)},
		Tolerations: []corev1.Toleration{{Key: "storage", Operator: corev1.TolerationOpExists}},
		Volume:      Volume{ClaimName: "prometheus-ecs-data"},
		TargetPod:   map[string]string{"app.kubernetes.io/name": "prometheus", "app.kubernetes.io/instance": "prometheus-ecs"},
		TargetURL:   "http://prometheus-ecs-pod.monitoring.svc:9090",
		Source:      Source{URL: "http://monitor:9090", Agent: "198.18.0.21:9797", AgentSecret: "ecs-metrics-target"},
		ShimSecret:  "ecs-metrics-source", Except: []string{"snmp"}, Overrides: Overrides{Rehearse: []string{"reach"}, Preflight: []string{"clock"}, Move: []string{"retention_holds_block"}},
		Rehearsal: Rehearsal{NeedBytes: 600 << 30, LargestBlockBytes: 30 << 30, HeadBytes: 40 << 30, Version: "3.16.0", Args: []string{"--storage.tsdb.retention.time=365d"}},
		Transfer:  Transfer{CeilingBytes: 200 << 20, LongestScrape: time.Minute, Scrapes: 3, Samples: 500, Lost: []string{"01HX0000000000000000000000"}},
		FreeBytes: 900 << 30,
		Cutover:   Cutover{SpecSecret: "ecs-metrics-cutover", Secrets: []string{"grafana"}, Approved: []string{"SourceAlertingOff"}, Watch: 10 * time.Minute},
		Grafana: Grafana{DataDir: "/var/lib/grafana", ProvisioningDir: "/etc/grafana/provisioning", OldURL: "http://monitor:3000", NewURL: "http://grafana.monitoring.svc:3000",
			UsersURL: "http://prometheus-ecs.monitoring.svc:9090", APISecret: "grafana-admin", Bring: []string{"grafana_address_means_the_old_host"}, Alike: []string{"grafana_users_equal"}},
	}
}

// planned are all objects of a migration.
func planned(t testing.TB, o Options) []client.Object {
	t.Helper()
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []client.Object
	add := func(err error, list ...client.Object) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	d, s, err := w.Shim()
	add(err, d, s)
	for _, job := range []func() (*batchv1.Job, error){w.Rehearse, w.Preflight, w.Move, w.Proof, w.Cutover, w.Rollback, w.Finalize} {
		j, err := job()
		add(err, j)
	}
	bring := o
	bring.Source.Agent, bring.Volume = "", Volume{ClaimName: "grafana-data", At: GrafanaFolder}
	bring.Source.Host, bring.TargetPod = Host{Address: "198.18.0.21", User: "root", KeySecret: "rack-key", HostKey: "ssh-ed25519 AAAA"}, nil
	if w, err = New(bring); err != nil {
		t.Fatal(err)
	}
	for _, job := range []func() (*batchv1.Job, error){w.Grafana, w.Alike} {
		j, err := job()
		add(err, j)
	}
	return all
}

// podOf is the pod of an object, nil where it has none.
func podOf(obj client.Object) *corev1.PodTemplateSpec {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	}
	return nil
}
