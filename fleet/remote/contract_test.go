package remote

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// changes counts the calls of OnChange by key.
type changes struct {
	mutex sync.Mutex
	count map[string]int
}

func (c *changes) note(key string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[key]++
}

func (c *changes) of(key string) int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.count[key]
}

// subject is one implementation with one cluster that does not answer yet.
type subject struct {
	connector Connector
	changes   *changes
	target    Target
	// join makes machines Nodes that are Ready, and the API server answer.
	join func(t *testing.T, names ...string)
	// objects lists what the cluster has of a set, as "Kind namespace/name".
	objects func(t *testing.T, set string) []string
}

const patience = 20 * time.Second

// eventually waits until check gives nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// testConnector is what every Connector has to do.
func testConnector(t *testing.T, s subject) {
	c, err := s.connector.Connect(t.Context(), s.target)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("refuses a target without key or uid", func(t *testing.T) { s.testTargets(t) })
	t.Run("connects without an answer and says unreachable", func(t *testing.T) {
		_, versionErr := c.Version(t.Context())
		_, nodesErr := c.Nodes(t.Context())
		for _, err := range []error{versionErr, nodesErr, c.DeleteNode(t.Context(), "m1"), c.Delete(t.Context(), "addon")} {
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("error %v, want ErrUnreachable", err)
			}
		}
	})
	t.Run("sees nodes become ready and tells", func(t *testing.T) { s.testJoin(t, c) })
	t.Run("gives the same cluster again", func(t *testing.T) {
		again, err := s.connector.Connect(t.Context(), s.target)
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := again.Nodes(t.Context())
		if err != nil || len(nodes) != 2 {
			t.Errorf("%d nodes, %v", len(nodes), err)
		}
	})
	t.Run("takes well-formed tokens and shows none", func(t *testing.T) { testTokens(t, c) })
	t.Run("labels nodes that there are", func(t *testing.T) { testLabels(t, c) })
	t.Run("drains and deletes a node", func(t *testing.T) { s.testLeave(t, c) })
	t.Run("applies, prunes and deletes sets", func(t *testing.T) { s.testSets(t, c) })
	t.Run("forgets", func(t *testing.T) {
		s.connector.Forget(s.target.Key)
		s.connector.Forget(s.target.Key)
	})
}

func (s subject) testTargets(t *testing.T) {
	for _, target := range []Target{{Key: "a/b", Kubeconfig: s.target.Kubeconfig}, {UID: "u", Kubeconfig: s.target.Kubeconfig}} {
		if _, err := s.connector.Connect(t.Context(), target); err == nil {
			t.Errorf("Connect(%q, %q) succeeded", target.Key, target.UID)
		}
	}
}

func (s subject) testJoin(t *testing.T, c Cluster) {
	before := s.changes.of(s.target.Key)
	s.join(t, "m1", "m2")
	eventually(t, "waiting for two nodes", func() error {
		nodes, err := c.Nodes(t.Context())
		if err != nil {
			return err
		}
		for _, name := range []string{"m1", "m2"} {
			n := nodes[name]
			if n.Name != name || !n.Ready || n.Message != "" || n.KubeletVersion == "" || n.Unschedulable {
				return fmt.Errorf("node %s is %+v", name, n)
			}
		}
		return nil
	})
	eventually(t, "waiting for a word of it", func() error {
		if s.changes.of(s.target.Key) == before {
			return errors.New("OnChange was not called")
		}
		return nil
	})
	if version, err := c.Version(t.Context()); err != nil || !strings.HasPrefix(version, "v1.") {
		t.Errorf("Version() = %q, %v", version, err)
	}
}

func testTokens(t *testing.T, c Cluster) {
	for range 2 {
		if err := c.EnsureBootstrapToken(t.Context(), "abcdef.0123456789abcdef", 600); err != nil {
			t.Fatal(err)
		}
	}
	for _, token := range []string{"", "abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdeX"} {
		err := c.EnsureBootstrapToken(t.Context(), token, 600)
		if err == nil || (token != "" && strings.Contains(err.Error(), token)) {
			t.Errorf("EnsureBootstrapToken() = %v", err)
		}
	}
}

func testLabels(t *testing.T, c Cluster) {
	labels := map[string]string{"tier": "app"}
	taints := []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
	for range 2 {
		if err := c.LabelNode(t.Context(), "m1", labels, taints); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.LabelNode(t.Context(), "m9", labels, nil); !errors.Is(err, ErrNoNode) || errors.Is(err, ErrUnreachable) {
		t.Errorf("labelling a missing node: %v", err)
	}
}

func (s subject) testLeave(t *testing.T, c Cluster) {
	eventually(t, "waiting for the drain", func() error {
		d, err := c.Drain(t.Context(), "m2")
		if err != nil {
			return err
		}
		if d != (Drain{}) {
			return fmt.Errorf("drain %+v", d)
		}
		return nil
	})
	eventually(t, "waiting for the cordon", func() error {
		nodes, err := c.Nodes(t.Context())
		if err != nil || !nodes["m2"].Unschedulable || nodes["m1"].Unschedulable {
			return fmt.Errorf("nodes %+v, %w", nodes, err)
		}
		return nil
	})
	s.testDelete(t, c)
}

func (s subject) testDelete(t *testing.T, c Cluster) {
	for range 2 {
		if err := c.DeleteNode(t.Context(), "m2"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "waiting for the node to go", func() error {
		nodes, err := c.Nodes(t.Context())
		if err != nil || len(nodes) != 1 || nodes["m1"].Name == "" {
			return fmt.Errorf("nodes %+v, %w", nodes, err)
		}
		return nil
	})
	if d, err := c.Drain(t.Context(), "m2"); err != nil || d != (Drain{}) {
		t.Errorf("draining a node that is gone: %+v, %v", d, err)
	}
}

func configMap(name string, data map[string]any) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "default"}, "data": data,
	}}
}

func (s subject) testSets(t *testing.T, c Cluster) {
	want := func(set string, names ...string) {
		t.Helper()
		var all []string
		for _, n := range names {
			all = append(all, "ConfigMap default/"+n)
		}
		if diff := cmp.Diff(all, s.objects(t, set)); diff != "" {
			t.Errorf("set %s (-want +got):\n%s", set, diff)
		}
	}
	apply := func(set string, objects ...unstructured.Unstructured) {
		t.Helper()
		if err := c.Apply(t.Context(), set, objects); err != nil {
			t.Fatal(err)
		}
	}
	apply("addon", configMap("b", nil), configMap("a", map[string]any{"k": "v"}))
	apply("other", configMap("z", nil))
	want("addon", "a", "b")
	apply("addon", configMap("c", nil), configMap("a", map[string]any{"k": "w"}))
	want("addon", "a", "c")
	want("other", "z")
	for range 2 {
		if err := c.Delete(t.Context(), "addon"); err != nil {
			t.Fatal(err)
		}
	}
	want("addon")
	want("other", "z")
}

func TestSimulatedContract(t *testing.T) {
	var mutex sync.Mutex
	var joined []string
	s := subject{changes: &changes{}, target: Target{Key: "harbor/shop", UID: "uid-1"}}
	connector := NewSimulated(SimulatedOptions{
		Latency: time.Millisecond, ReadyLatency: 30 * time.Millisecond, DrainLatency: 30 * time.Millisecond, OnChange: s.changes.note,
		Joined: func(target Target) []string {
			mutex.Lock()
			defer mutex.Unlock()
			if target.UID != "uid-1" {
				return nil
			}
			return slices.Clone(joined)
		},
	})
	s.connector = connector
	s.join = func(_ *testing.T, names ...string) {
		mutex.Lock()
		defer mutex.Unlock()
		joined = append(joined, names...)
	}
	s.objects = func(_ *testing.T, set string) []string { return connector.Objects(s.target.Key, set) }
	testConnector(t, s)
}

func TestFakeContract(t *testing.T) {
	s := subject{changes: &changes{}, target: Target{Key: "harbor/shop", UID: "uid-1"}}
	connector := NewFake(s.changes.note)
	s.connector = connector
	s.join = func(_ *testing.T, names ...string) {
		var nodes []Node
		for _, n := range names {
			nodes = append(nodes, Node{Name: n, Ready: true, KubeletVersion: "v1.36.3"})
		}
		connector.SetNodes(s.target.Key, nodes...)
	}
	s.objects = func(_ *testing.T, set string) []string { return connector.Objects(s.target.Key, set) }
	testConnector(t, s)
}
