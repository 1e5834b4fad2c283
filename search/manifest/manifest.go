package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	yaml "go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
)

// MaxBytes is the largest file that is read.
const MaxBytes = 4 << 20

// Manifest is what one file declares.
type Manifest struct {
	Clusters   []v1alpha1.SearchCluster
	Lifecycles []v1alpha1.IndexLifecycle
}

// Problem is one thing that is wrong with a file.
type Problem struct {
	File string
	Line int
	// Object is kind and name; Field the path within it, such as spec.phases[2].shrink; both may be empty.
	Object, Field string
	Says          string
}

func (p Problem) Error() string {
	text := fmt.Sprintf("%s:%d: ", p.File, p.Line)
	if p.Object != "" {
		text += p.Object + ": "
	}
	if p.Field != "" {
		text += p.Field + ": "
	}
	return text + p.Says
}

// ReadFile reads a file.
func ReadFile(name string) (*Manifest, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(name, f)
}

// Read reads documents of YAML, and checks them; name is for errors. The error joins every Problem.
func Read(name string, r io.Reader) (*Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("reading %s: it is larger than %d MiB", name, MaxBytes>>20)
	}
	kinds, err := loadKinds()
	if err != nil {
		return nil, err
	}
	m, seen, problems := &Manifest{}, map[string]int{}, []error(nil)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		if err := dec.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(append(problems, fmt.Errorf("reading %s: %w", name, err))...)
		}
		if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
			continue
		}
		d := &reading{file: name, root: document.Content[0], kinds: kinds}
		d.into(m, seen)
		problems = append(problems, d.problems...)
	}
	problems = append(problems, m.references(name, seen)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(m.Clusters) == 0 {
		return nil, fmt.Errorf("reading %s: there is no %s in it", name, v1alpha1.KindSearchCluster)
	}
	return m, nil
}

// Cluster is the cluster of a lifecycle; nil where there is none.
func (m *Manifest) Cluster(l *v1alpha1.IndexLifecycle) *v1alpha1.SearchCluster {
	for i := range m.Clusters {
		if c := &m.Clusters[i]; c.Name == l.Spec.ClusterName && c.Namespace == l.Namespace {
			return c
		}
	}
	return nil
}

// references holds the names that lifecycles use against what the cluster has.
func (m *Manifest) references(file string, lines map[string]int) []error {
	var problems []error
	for i := range m.Lifecycles {
		l := &m.Lifecycles[i]
		object := v1alpha1.KindIndexLifecycle + " " + l.Name
		say := func(field, format string, args ...any) {
			problems = append(problems, Problem{file, lines[key(v1alpha1.KindIndexLifecycle, l.Namespace, l.Name)], object, field, fmt.Sprintf(format, args...)})
		}
		c := m.Cluster(l)
		if c == nil {
			say("spec.clusterName", "no SearchCluster %s in the namespace %q", l.Spec.ClusterName, l.Namespace)
			continue
		}
		for n, p := range l.Spec.Phases {
			if p.Move != nil && !hasTier(c, p.Move.Tier) {
				say(fmt.Sprintf("spec.phases[%d].move.tier", n), "SearchCluster %s has no tier %s", c.Name, p.Move.Tier)
			}
			if p.Snapshot != nil && !hasRepository(c, p.Snapshot.RepositoryName) {
				say(fmt.Sprintf("spec.phases[%d].snapshot.repositoryName", n), "SearchCluster %s has no repository %s", c.Name, p.Snapshot.RepositoryName)
			}
		}
	}
	return problems
}

func hasTier(c *v1alpha1.SearchCluster, name string) bool {
	for _, t := range c.Spec.Tiers {
		if t.Name == name {
			return true
		}
	}
	return false
}

func hasRepository(c *v1alpha1.SearchCluster, name string) bool {
	for _, r := range c.Spec.Repositories {
		if r.Name == name {
			return true
		}
	}
	return false
}

func key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// strict decodes JSON and takes no field that the type does not have.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}
