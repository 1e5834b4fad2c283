package endpoint

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

var (
	oldServer = netip.MustParseAddrPort("198.18.0.21:9090")
	podIP     = netip.MustParseAddr("10.244.1.7")
	podIP6    = netip.MustParseAddr("fd00::7")
	now       = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
)

func shape() Shape {
	return Shape{Namespace: "monitoring", Name: "prometheus-ecs", Port: 9090, Selector: map[string]string{"app.kubernetes.io/instance": "prometheus-ecs"}}
}

func streak(a Answer, count int, since time.Duration) Streak {
	return Streak{Last: Result{a, string(a)}, At: now, Since: now.Add(-since), Count: count}
}

// input is a target that answers for long, after the cutover, with the users there.
func input(change func(*Input)) Input {
	in := Input{Now: now, Phase: "Observe", Shape: shape(), Source: oldServer,
		Target: Pod{Addresses: []netip.Addr{podIP}, Port: 9090, Ready: true, Probes: streak(Ready, 60, time.Minute)},
		Slice:  shape().Slice(Target, netip.AddrPortFrom(podIP, 9090))}
	if change != nil {
		change(&in)
	}
	return in
}

func atSource(in *Input) { in.Slice = shape().Slice(Source, oldServer) }

func TestDecide(t *testing.T) {
	const pod = "10.244.1.7:9090"
	for _, c := range []struct {
		name   string
		change func(*Input)
		to     Side
		rule   string
		leads  string
		moved  bool
	}{
		{"leads to the source before the cutover, however ready the target is", func(in *Input) { in.Phase = "Verify"; atSource(in) }, Source, RuleUntilCutover, "198.18.0.21:9090", false},
		{"leads to the source while the cutover runs", func(in *Input) { in.Phase = "Cutover"; atSource(in) }, Source, RuleUntilCutover, "198.18.0.21:9090", false},
		{"writes the first slice with no phase", func(in *Input) { in.Phase, in.Slice = "", nil }, Source, RuleUntilCutover, "198.18.0.21:9090", false},
		{"goes to a target that has answered for long after the cutover", atSource, Target, RuleServes, pod, true},
		{"stays at the target", nil, Target, RuleServes, pod, false},
		{"stays at the target while Finalize runs", func(in *Input) { in.Phase = "Finalize" }, Target, RuleServes, pod, false},
		{"goes back when the target's port is closed", func(in *Input) { in.Target.Probes = streak(Refused, 1, 0) }, Source, RuleBack, "198.18.0.21:9090", true},
		{"stays at the target after one probe without an answer", func(in *Input) { in.Target.Probes = streak(Silent, 1, 0) }, Target, RuleServes, pod, false},
		{"goes back after two probes without an answer", func(in *Input) { in.Target.Probes = streak(Silent, 2, time.Second) }, Source, RuleBack, "198.18.0.21:9090", true},
		{"goes back when it may not ask any more", func(in *Input) { in.Target.Probes = streak(NotAllowed, 2, time.Second) }, Source, RuleBack, "198.18.0.21:9090", true},
		{"goes back when the target lacks samples, however ready it is", func(in *Input) { in.Missed = "it was started again" }, Source, RuleMissed, "198.18.0.21:9090", true},
		{"stays at a target that lacks samples when the source does not answer", func(in *Input) {
			in.Missed, in.SourceProbes = "it was started again", streak(Silent, 2, time.Second)
		}, Target, RuleServes, pod, false},
		{"waits at the source until what the target missed is brought", func(in *Input) { atSource(in); in.Missed = "it was started again" }, Source, RuleMissed, "198.18.0.21:9090", false},
		{"says first that the target does not answer", func(in *Input) {
			atSource(in)
			in.Missed, in.Target.Probes = "it was started again", streak(Refused, 3, time.Second)
		}, Source, RuleBack, "198.18.0.21:9090", false},
		{"goes back when the pod is being deleted", func(in *Input) { in.Target.Ending = true }, Source, RuleBack, "198.18.0.21:9090", true},
		{"goes back when the pod is not ready", func(in *Input) { in.Target.Ready = false }, Source, RuleBack, "198.18.0.21:9090", true},
		{"goes back when the pod is gone", func(in *Input) { in.Target = Pod{Port: 9090} }, Source, RuleBack, "198.18.0.21:9090", true},
		{"does not go to the target after one silent probe there", func(in *Input) { atSource(in); in.Target.Probes = streak(Silent, 1, 0) }, Source, RuleBack, "198.18.0.21:9090", false},
		{"waits at the source until the target answered for a while", func(in *Input) { atSource(in); in.Target.Probes = streak(Ready, 4, 3*time.Second) }, Source, RuleSteady, "198.18.0.21:9090", false},
		{"does not wait for the target when the source is silent", func(in *Input) {
			atSource(in)
			in.Target.Probes, in.SourceProbes = streak(Ready, 4, 3*time.Second), streak(Refused, 9, time.Minute)
		}, Target, RuleServes, pod, true},
		{"stays at a silent target when the source is silent too", func(in *Input) {
			in.Target.Probes, in.SourceProbes = streak(Silent, 9, time.Minute), streak(Refused, 9, time.Minute)
		}, Target, RuleSourceSilent, pod, false},
		{"stays where it is when the controller has just begun", func(in *Input) { in.Target.Probes = Streak{} }, Target, RuleLookFirst, pod, false},
		{"follows the pod to its new address", func(in *Input) { in.Target.Addresses = []netip.Addr{netip.MustParseAddr("10.244.2.9")} }, Target, RuleServes, "10.244.2.9:9090", false},
		{"takes the pod's address of the source's family", func(in *Input) { in.Target.Addresses = []netip.Addr{podIP6, podIP} }, Target, RuleServes, pod, false},
		{"stays at the source when the pod has no address of its family", func(in *Input) { atSource(in); in.Target.Addresses = []netip.Addr{podIP6} }, Source, RuleFamily, "198.18.0.21:9090", false},
		{"goes back at once when a rollback begins", func(in *Input) { in.Phase = "RollingBack" }, Source, RuleRolledBack, "198.18.0.21:9090", true},
		{"leads to the pod until Kubernetes has its own slice after Finalize", func(in *Input) { in.Phase = "Finalized" }, Target, RuleAlone, pod, false},
		{"does not lead to the source after Finalize, however silent the target is", func(in *Input) { in.Phase, in.Target.Probes = "Finalized", streak(Refused, 9, time.Minute) }, Target, RuleAlone, pod, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Decide(input(c.change))
			if err != nil {
				t.Fatal(err)
			}
			if got := leadsTo(d.Slice).String(); d.To != c.to || d.Rule != c.rule || got != c.leads || d.Moved != c.moved {
				t.Errorf("leads to the %s at %s by %s (%s), moved %t; want the %s at %s by %s, %t", d.To, got, d.Rule, d.Says, d.Moved, c.to, c.leads, c.rule, c.moved)
			}
			if selected := len(d.Service.Spec.Selector) > 0; selected != (c.rule == RuleAlone) {
				t.Errorf("the Service has a selector: %t", selected)
			}
		})
	}
}

func TestDecideLeavesTheServiceToKubernetes(t *testing.T) {
	d, err := Decide(input(func(in *Input) { in.Phase, in.SelectorServes = "Finalized", true }))
	if err != nil {
		t.Fatal(err)
	}
	if d.Slice != nil || d.Again != 0 || d.Service.Spec.Ports[0].TargetPort.IntValue() != 9090 {
		t.Errorf("got slice %v, again in %s, port %s; want none, never, 9090", d.Slice, d.Again, d.Service.Spec.Ports[0].TargetPort.String())
	}
}

func TestDecideErrs(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		says   string
	}{
		{"on a phase that it does not know", func(in *Input) { in.Phase = "Cutovr" }, `the phase "Cutovr" is not known`},
		{"without the source's address", func(in *Input) { in.Source = netip.AddrPort{} }, "the old server's address is missing"},
		{"after Finalize without a selector", func(in *Input) { in.Phase, in.Shape.Selector = "Finalized", nil }, "no selector"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Decide(input(c.change)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
		})
	}
}

func TestSliceOfSixIsOfItsFamily(t *testing.T) {
	s := shape().Slice(Target, netip.AddrPortFrom(podIP6, 9090))
	if s.AddressType != discoveryv1.AddressTypeIPv6 || s.Endpoints[0].Addresses[0] != "fd00::7" {
		t.Errorf("got %s %v", s.AddressType, s.Endpoints)
	}
}

// TestBackWithinFiveSeconds goes through every moment at which a target can fall silent or close, with probes a second apart that wait a second.
func TestBackWithinFiveSeconds(t *testing.T) {
	const spare = 2 * time.Second // for the write and for kube-proxy
	for _, a := range []Answer{Refused, Silent, NotAllowed} {
		for offset := time.Duration(0); offset < time.Second; offset += 50 * time.Millisecond {
			in := input(nil)
			fails := now.Add(offset)
			for probe := now; ; probe = probe.Add(time.Second) {
				r, ends := Result{Ready, ""}, probe
				if !probe.Before(fails) {
					if r = (Result{a, string(a)}); a == Silent {
						ends = probe.Add(time.Second)
					}
				}
				in.Target.Probes = in.Target.Probes.Next(r, ends)
				in.Now = ends
				d, err := Decide(in)
				if err != nil {
					t.Fatal(err)
				}
				if d.To == Source {
					if took := ends.Sub(fails); took > 5*time.Second-spare {
						t.Errorf("%s, %s after a probe: the way back was taken after %s", a, offset, took)
					}
					break
				}
				if ends.Sub(fails) > time.Minute {
					t.Fatalf("%s: the way back was never taken", a)
				}
			}
		}
	}
}
