package workload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"
)

// TestObjects shows all objects of a migration.
func TestObjects(t *testing.T) {
	var text strings.Builder
	for _, o := range planned(t, shop()) {
		data, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("---\n")
		text.Write(data)
	}
	golden.Check(t, "testdata/objects.golden.yaml", text.String())
}

func TestArgumentsFollowTheOptions(t *testing.T) {
	o := shop()
	o.Rehearsal, o.Source.Agent = Rehearsal{}, ""
	o.Source.Host = Host{Address: "fd00::21", User: "root", DataDir: "/data/prometheus", KeySecret: "rack-key", HostKey: "ssh-ed25519 AAAA"}
	o.Except, o.Overrides, o.Transfer, o.FreeBytes, o.Cutover.Watch, o.Cutover.Approved = nil, Overrides{}, Transfer{AcceptCoverage: true}, 0, 0, nil
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		job  func() (*batchv1.Job, error)
		want string
	}{
		{"a rehearsal leaves defaults to the command", w.Rehearse, "prometheus rehearse /prometheus --source=http://monitor:9090 --output=json --quiet --reach=ssh=[fd00::21]:22"},
		{"a preflight leaves defaults to the command", w.Preflight,
			"prometheus preflight --source=http://monitor:9090 --target=http://prometheus-ecs-pod.monitoring.svc:9090 --output=json --wait=1m0s"},
		{"a move over SSH leaves defaults to the command", w.Move, "prometheus migrate --source=ssh://root@[fd00::21]:22/data/prometheus --ssh-key=/etc/slipway/ssh/ssh-privatekey --host-key=ssh-ed25519 AAAA --source-server=http://monitor:9090 " +
			"--target=http://prometheus-ecs-pod.monitoring.svc:9090 --target-data=/prometheus --state=/prometheus/slipway-move --progress=json --reload-target --accept-coverage"},
		{"a cutover without approvals approves nothing", w.Cutover, "prometheus cutover --file=/etc/slipway/cutover/cutover.yaml --state=/prometheus/slipway-cutover --progress=json"},
		{"a rollback goes by what was kept", w.Rollback, "prometheus rollback --state=/prometheus/slipway-cutover --progress=json"},
		{"a finalize watches as long as the command does", w.Finalize, "prometheus finalize --state=/prometheus/slipway-cutover --progress=json"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j, err := c.job()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, strings.Join(j.Spec.Template.Spec.Containers[0].Args, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheDigestTellsPodsApart(t *testing.T) {
	digest := func(change func(*Options)) string {
		o := shop()
		change(&o)
		w, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		j, err := w.Move()
		if err != nil {
			t.Fatal(err)
		}
		return j.Annotations[AnnotationDigest]
	}
	was := digest(func(*Options) {})
	if again := digest(func(o *Options) { o.Owner = nil }); again != was || was == "" {
		t.Errorf("%q and %q, want the same", was, again)
	}
	for name, change := range map[string]func(*Options){
		"another image":    func(o *Options) { o.Image = "slipway:0.2.0" },
		"another ceiling":  func(o *Options) { o.Transfer.CeilingBytes = 1 },
		"another user":     func(o *Options) { o.Security.RunAsUser = ptr.To[int64](1) },
		"another override": func(o *Options) { o.Overrides.Move = nil },
	} {
		if got := digest(change); got == was {
			t.Errorf("%s has the same digest", name)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	move := func(w *Workload) error { _, err := w.Move(); return err }
	cases := []struct {
		name   string
		change func(*Options)
		job    func(*Workload) error
		want   string
	}{
		{"a name that a Service cannot have", func(o *Options) { o.Name = "1a" }, nil, `metadata.name "1a": want at most 53 small letters`},
		{"a name that is too long", func(o *Options) { o.Name = strings.Repeat("a", 54) }, nil, "want at most 53 small letters"},
		{"no image", func(o *Options) { o.Image = "" }, nil, "spec.tools.image is empty"},
		{"a list in a job's name", func(o *Options) { o.Except = []string{"a,b"} }, nil, `spec.coverage.except: "a,b" has a comma`},
		{"an empty override", func(o *Options) { o.Overrides.Move = []string{"x", ""} }, nil, `spec.overrides: "" has a comma, a quotation mark or a line end, or is empty`},
		{"no way to the blocks", func(o *Options) { o.Source.Agent = "" }, move, "spec.source has neither agent nor host"},
		{"an agent without certificates", func(o *Options) { o.Source.AgentSecret = "" }, move, "spec.source.agent.credentialsSecretName is empty"},
		{"a host without its key", func(o *Options) { o.Source.Agent, o.Source.Host = "", Host{Address: "a", User: "root", KeySecret: "k"} }, move, "knownHostKey"},
		{"a host without the directory", func(o *Options) {
			o.Source.Agent, o.Source.Host = "", Host{Address: "a", User: "root", KeySecret: "k", HostKey: "x"}
		}, move,
			`spec.source.dataDir "" is no absolute path`},
		{"no file of the cutover", func(o *Options) { o.Cutover.SpecSecret = "" }, func(w *Workload) error { _, err := w.Rollback(); return err }, "the cutover has no Secret with cutover.yaml"},
		{"no certificates of the shim", func(o *Options) { o.ShimSecret = "" }, func(w *Workload) error { _, _, err := w.Shim(); return err }, "the shim has no Secret"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := shop()
			c.change(&o)
			w, err := New(o)
			if err == nil && c.job != nil {
				err = c.job(w)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOnlyWhoMountsTheClaimStandsBesideTheTarget(t *testing.T) {
	for _, o := range planned(t, shop()) {
		j, ok := o.(*batchv1.Job)
		if !ok {
			continue
		}
		mounts := false
		for _, v := range j.Spec.Template.Spec.Volumes {
			mounts = mounts || v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == "prometheus-ecs-data"
		}
		if beside := j.Spec.Template.Spec.Affinity != nil; beside != mounts {
			t.Errorf("%s: on the node of the target %t, mounts the claim %t", j.Name, beside, mounts)
		}
	}
	o := shop()
	o.TargetPod, o.Security = nil, &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0)}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	j, err := w.Move()
	if err != nil {
		t.Fatal(err)
	}
	if s := j.Spec.Template.Spec; s.Affinity != nil || *s.SecurityContext.RunAsNonRoot {
		t.Errorf("without a target's pod, for a server that is root: %+v", s)
	}
}
