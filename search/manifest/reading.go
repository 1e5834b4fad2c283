package manifest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
)

// reading is one document while it is read.
type reading struct {
	file     string
	root     *yaml.Node
	kinds    map[string]*kind
	object   string
	problems []error
}

func (d *reading) say(at *yaml.Node, field, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, at.Line, d.object, field, fmt.Sprintf(format, args...)})
}

// into reads the document and adds it to m, unless something is wrong with it.
func (d *reading) into(m *Manifest, seen map[string]int) {
	var value map[string]any
	if d.root.Kind != yaml.MappingNode {
		d.say(d.root, "", "an object should stand here")
		return
	}
	if err := d.root.Decode(&value); err != nil {
		d.say(d.root, "", "%s", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	version, _ := value["apiVersion"].(string)
	name, _ := value["kind"].(string)
	k := d.kinds[name]
	if version != v1alpha1.GroupVersion.String() || k == nil {
		d.say(d.root, "", "%s of %s is not read here: it takes %s and %s of %s", orNothing(name), orNothing(version), v1alpha1.KindSearchCluster, v1alpha1.KindIndexLifecycle, v1alpha1.GroupVersion)
		return
	}
	d.object = name
	meta, _ := value["metadata"].(map[string]any)
	if text, _ := meta["name"].(string); text != "" {
		d.object += " " + text
	}
	delete(value, "status")
	k.fill(value)
	k.validate(d, value)
	d.decode(m, name, value, seen)
}

func orNothing(text string) string {
	if text == "" {
		return `""`
	}
	return text
}

func (d *reading) decode(m *Manifest, name string, value map[string]any, seen map[string]int) {
	data, err := json.Marshal(value)
	if err != nil {
		d.say(d.root, "", "%v", err)
		return
	}
	var meta metav1.ObjectMeta
	if len(d.problems) == 0 {
		switch name {
		case v1alpha1.KindSearchCluster:
			var c v1alpha1.SearchCluster
			if err = strict(data, &c); err == nil {
				meta = c.ObjectMeta
				d.cluster(&c)
				m.Clusters = append(m.Clusters, c)
			}
		case v1alpha1.KindIndexLifecycle:
			var l v1alpha1.IndexLifecycle
			if err = strict(data, &l); err == nil {
				meta = l.ObjectMeta
				d.lifecycle(&l)
				m.Lifecycles = append(m.Lifecycles, l)
			}
		}
		if err != nil {
			d.say(d.root, "", "%v", err)
			return
		}
		d.identity(name, meta, seen)
	}
}

// identity holds the name and refuses an object that stands there twice.
func (d *reading) identity(name string, meta metav1.ObjectMeta, seen map[string]int) {
	if meta.Name == "" {
		d.say(d.root, "metadata.name", "a name is missing")
		return
	}
	k := key(name, meta.Namespace, meta.Name)
	if before, twice := seen[k]; twice {
		d.say(d.root, "metadata.name", "it stands on line %d already", before)
		return
	}
	seen[k] = d.root.Line
}

// find is the node at a path of keys and numbers, or the nearest above it that is there.
func (d *reading) find(path []string) *yaml.Node {
	at := d.root
	for _, part := range path {
		next := below(at, part)
		if next == nil {
			return at
		}
		at = next
	}
	return at
}

func below(n *yaml.Node, part string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// dotted writes a path as people do: spec.phases[2].shrink.
func dotted(path []string) string {
	var b strings.Builder
	for _, part := range path {
		if _, err := strconv.Atoi(part); err == nil {
			fmt.Fprintf(&b, "[%s]", part)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(part)
	}
	return b.String()
}
