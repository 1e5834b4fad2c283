package cutover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edited is a provisioning file with the new address.
func (s *grafanaStep) edited(d dataSource) (before, after []byte, err error) {
	path := s.g.spec.ProvisioningFile
	if path == "" {
		return nil, nil, refuse(RuleProvisioned, "data source %s is provisioned, and Grafana lets nobody change it through its API; name provisioningFile", s.uid)
	}
	before, ok := s.r.overlay[path]
	if !ok {
		if before, err = s.r.store.disk.read(path); err != nil {
			return nil, nil, fmt.Errorf("reading the provisioning file: %w", err)
		}
	}
	after, err = replaceURL(before, wantedSource{uid: s.uid, name: d.text("name"), old: s.g.spec.OldURL, new: s.g.spec.NewURL})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return before, after, nil
}

func (s *grafanaStep) provisioningDiff(d dataSource) (string, error) {
	before, after, err := s.edited(d)
	if err != nil {
		return "", err
	}
	s.r.overlay[s.g.spec.ProvisioningFile] = after
	return lineDiff(s.g.spec.ProvisioningFile, before, after), nil
}

// provision edits the file if that is allowed, and waits until Grafana has read it.
func (s *grafanaStep) provision(ctx context.Context, rec *Record, d dataSource) error {
	if rec.File == "" {
		before, after, err := s.edited(d)
		if err != nil {
			return err
		}
		if !s.r.Write {
			return refuse(RuleProvisioned, "data source %s is provisioned; run again with --write, or apply this and let Grafana read it, and run again:\n%s",
				s.uid, lineDiff(s.g.spec.ProvisioningFile, before, after))
		}
		if rec.Before, err = s.r.store.keep(before); err != nil {
			return err
		}
		if rec.After, err = s.r.store.keep(after); err != nil {
			return err
		}
		rec.File = s.g.spec.ProvisioningFile
		if err := s.r.mark(ctx, rec, Begun); err != nil {
			return err
		}
	}
	if err := s.r.put(rec.File, rec.Before, rec.After); err != nil {
		return err
	}
	if err := s.reread(ctx, rec.NewURL); err != nil {
		return err
	}
	err := s.healthy(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	s.r.does(StepGrafana, "putting the old address back: "+err.Error())
	if back := s.unprovision(ctx, rec); back != nil {
		return errors.Join(err, fmt.Errorf("putting the old address back: %w", back))
	}
	rec.File = ""
	return errors.Join(err, s.r.mark(ctx, rec, Planned))
}

func (s *grafanaStep) unprovision(ctx context.Context, rec *Record) error {
	if err := s.r.put(rec.File, rec.After, rec.Before); err != nil {
		return err
	}
	return s.reread(ctx, rec.OldURL)
}

// reread asks Grafana to read its files, which only its own administrators may, and waits until it shows the address.
func (s *grafanaStep) reread(ctx context.Context, want string) error {
	if err := s.g.call(ctx, http.MethodPost, "/api/admin/provisioning/datasources/reload", nil, nil); err != nil {
		s.r.does(StepGrafana, fmt.Sprintf("Grafana cannot be asked to read %s (%v): apply it if it is a manifest, or restart Grafana", s.g.spec.ProvisioningFile, err))
	}
	return s.r.until(ctx, StepGrafana, "Grafana to read "+s.g.spec.ProvisioningFile, s.r.Patience, func() error {
		d, err := s.g.get(ctx, s.uid)
		if err == nil && !sameURL(d.text("url"), want) {
			err = fmt.Errorf("data source %s has the address %s", s.uid, shownURL(d.text("url")))
		}
		return err
	})
}

// wantedSource is the data source whose address is replaced in a file.
type wantedSource struct{ uid, name, old, new string }

// errNoSource is a document without the data source.
var errNoSource = errors.New("no data source of this uid or name stands in it")

// replaceURL changes one address in a provisioning file of Grafana, or in such a file within a ConfigMap's manifest, and no other byte.
func replaceURL(data []byte, w wantedSource) (after []byte, err error) {
	defer func() { // a parser that panics on broken input must not end the program
		if p := recover(); p != nil {
			after, err = nil, fmt.Errorf("reading YAML: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return nil, errNoSource
		} else if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		if len(doc.Content) == 0 {
			continue
		}
		after, err := replaceInDocument(data, doc.Content[0], w)
		if !errors.Is(err, errNoSource) {
			return after, err
		}
	}
}

func replaceInDocument(data []byte, root *yaml.Node, w wantedSource) ([]byte, error) {
	if list := field(root, "datasources"); list != nil {
		node, err := findURL(list, w)
		if err != nil {
			return nil, err
		}
		return replaceScalar(data, node, w)
	}
	files := field(root, "data")
	if kind := field(root, "kind"); files == nil || files.Kind != yaml.MappingNode || kind == nil || kind.Value != "ConfigMap" {
		return nil, errNoSource
	}
	for i := 1; i < len(files.Content); i += 2 {
		file := files.Content[i]
		inner, err := replaceURL([]byte(file.Value), w)
		if errors.Is(err, errNoSource) || err != nil && !strings.Contains(file.Value, w.uid) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("data %q: %w", files.Content[i-1].Value, err)
		}
		return replaceWithin(data, file, inner)
	}
	return nil, errNoSource
}

func field(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// findURL finds the address of a data source by uid, or by name where the file gives it no uid.
func findURL(list *yaml.Node, w wantedSource) (*yaml.Node, error) {
	for _, entry := range list.Content {
		uid, name := field(entry, "uid"), field(entry, "name")
		if uid != nil && uid.Value != w.uid || uid == nil && (name == nil || name.Value != w.name) {
			continue
		}
		at := field(entry, "url")
		switch {
		case at == nil:
			return nil, fmt.Errorf("line %d: the data source has no url", entry.Line)
		case at.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: url is no plain text; write %s there yourself", at.Line, w.new)
		case strings.Contains(at.Value, "$"):
			return nil, fmt.Errorf("line %d: url is made of a variable, %s; change it where it is set", at.Line, at.Value)
		case !sameURL(at.Value, w.old) && !sameURL(at.Value, w.new):
			return nil, fmt.Errorf("line %d: url is %s, neither the old address %s nor the new one", at.Line, shownURL(at.Value), w.old)
		}
		return at, nil
	}
	return nil, errNoSource
}

// replaceScalar writes the new address where a scalar of one line stands, in its own quotes.
func replaceScalar(data []byte, n *yaml.Node, w wantedSource) ([]byte, error) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if n.Line < 1 || n.Line > len(lines) {
		return nil, fmt.Errorf("line %d: there is no such line", n.Line)
	}
	line := lines[n.Line-1]
	if at := bytes.Index(line, []byte(n.Value)); at < 0 || n.Value == "" || bytes.LastIndex(line, []byte(n.Value)) != at {
		return nil, fmt.Errorf("line %d: the address does not stand there once and as it is; write %s there yourself", n.Line, w.new)
	}
	if sameURL(n.Value, w.new) {
		return data, nil
	}
	lines[n.Line-1] = bytes.Replace(line, []byte(n.Value), []byte(w.new), 1)
	after := bytes.Join(lines, nil)
	if got, err := replaceURL(after, wantedSource{uid: w.uid, name: w.name, old: w.new, new: w.new}); err != nil || !bytes.Equal(got, after) {
		return nil, fmt.Errorf("line %d: the address cannot be replaced safely; write %s there yourself", n.Line, w.new)
	}
	return after, nil
}

// replaceWithin puts a changed line of a file into the block of lines (|) that holds it in a manifest.
func replaceWithin(data []byte, block *yaml.Node, inner []byte) ([]byte, error) {
	if block.Style&yaml.LiteralStyle == 0 {
		return nil, fmt.Errorf("line %d: the file is not written as a block of lines (|); make it one, or write the address there yourself", block.Line)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	before, after := strings.Split(block.Value, "\n"), strings.Split(string(inner), "\n")
	for i := range before {
		if before[i] == after[i] {
			continue
		}
		at := block.Line + i // lines count from 1, and the block begins on the line after its mark
		if at >= len(lines) || !strings.HasSuffix(strings.TrimRight(string(lines[at]), "\r\n"), before[i]) {
			return nil, fmt.Errorf("line %d: the file does not stand there line by line; write the address yourself", block.Line)
		}
		lines[at] = bytes.Replace(lines[at], []byte(before[i]), []byte(after[i]), 1)
	}
	return bytes.Join(lines, nil), nil
}

// lineDiff shows the lines that differ and no others, since those around may hold secrets. Of more than one changed line only the
// numbers are told.
func lineDiff(path string, before, after []byte) string {
	from, to := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(after), "\n")
	var changed []int
	for i := range max(len(from), len(to)) {
		if i >= len(from) || i >= len(to) || from[i] != to[i] {
			changed = append(changed, i+1)
		}
	}
	switch {
	case len(changed) == 0:
		return ""
	case len(changed) == 1 && len(from) == len(to) && strings.Contains(from[changed[0]-1], "url:"):
		n := changed[0]
		return fmt.Sprintf("--- %s\n+++ %s\n@@ -%d +%d @@\n-%s\n+%s\n", path, path, n, n, strings.TrimRight(from[n-1], "\n"), strings.TrimRight(to[n-1], "\n"))
	}
	return fmt.Sprintf("%s differs from line %d to line %d\n", path, changed[0], changed[len(changed)-1])
}
