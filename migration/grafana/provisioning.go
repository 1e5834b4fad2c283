package grafana

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/server"
)

// maxProvisioned is the largest file of data sources or of dashboard providers that is read.
const maxProvisioned = 4 << 20

// turnProvisioning gives data sources in the files of a folder the address of the users' Service, and changes no other byte of them.
func turnProvisioning(dir, source, users string) (t turned, err error) {
	err = eachYAML(filepath.Join(dir, "datasources"), func(file string, data []byte) error {
		after, found, err := turnFile(data, source, users)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		t.add(found)
		if bytes.Equal(after, data) {
			return nil
		}
		return durable.Replace(file, after, 0o640)
	})
	return t, err
}

// eachYAML reads the files of a folder that Grafana would read; a folder that is not there has none.
func eachYAML(dir string, see func(file string, data []byte) error) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the provisioning: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		file := filepath.Join(dir, e.Name())
		data, err := durable.Read(file, maxProvisioned)
		if err != nil {
			return fmt.Errorf("reading the provisioning: %w", err)
		}
		if err := see(file, data); err != nil {
			return fmt.Errorf("reading the provisioning: %w", err)
		}
	}
	return nil
}

// turnFile edits one file. An error says a line and never its text: passwords stand in such files.
func turnFile(data []byte, source, users string) (after []byte, t turned, err error) {
	defer func() { // a parser that panics on broken input must not end the program
		if p := recover(); p != nil {
			err = errors.New("it cannot be read as YAML")
		}
	}()
	after = data
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return after, t, nil
		} else if err != nil {
			return nil, t, errors.New("it cannot be read as YAML") // what the parser says may repeat a line
		}
		if len(doc.Content) == 0 {
			continue
		}
		list := field(doc.Content[0], "datasources")
		if list == nil {
			continue
		}
		for _, entry := range list.Content {
			if after, err = turnEntry(after, entry, source, users, &t); err != nil {
				return nil, t, err
			}
		}
	}
}

// turnEntry edits the address of one data source.
func turnEntry(data []byte, entry *yaml.Node, source, users string, t *turned) ([]byte, error) {
	at := field(entry, "url")
	if at == nil || at.Kind != yaml.ScalarNode {
		return data, nil
	}
	s := dbSource{uid: text(entry, "uid"), name: text(entry, "name"), kind: text(entry, "type"), url: at.Value, org: 1}
	if strings.Contains(at.Value, "$") {
		t.variables = append(t.variables, server.Clip(s.name, 60))
		return data, nil
	}
	if !t.take(s, source, users) || sameAddress(at.Value, users) {
		return data, nil
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if at.Line < 1 || at.Line > len(lines) || bytes.Count(lines[at.Line-1], []byte(at.Value)) != 1 {
		return nil, fmt.Errorf("line %d: the address of a data source does not stand there once and as it is; write it on a line of its own", at.Line)
	}
	lines[at.Line-1] = bytes.Replace(lines[at.Line-1], []byte(at.Value), []byte(users), 1)
	return bytes.Join(lines, nil), nil
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

func text(n *yaml.Node, name string) string {
	if at := field(n, name); at != nil && at.Kind == yaml.ScalarNode {
		return at.Value
	}
	return ""
}

// dashboardDirs are the folders of the old host from which dashboards are provisioned.
func dashboardDirs(dir string) (dirs []string, err error) {
	err = eachYAML(filepath.Join(dir, "dashboards"), func(file string, data []byte) error {
		var f struct {
			Providers []struct {
				Options struct {
					Path   string `yaml:"path"`
					Folder string `yaml:"folder"`
				} `yaml:"options"`
			} `yaml:"providers"`
		}
		if err := yaml.Unmarshal(data, &f); err != nil {
			return fmt.Errorf("%s: it cannot be read as YAML", filepath.Base(file))
		}
		for _, p := range f.Providers {
			if at := p.Options.Path + p.Options.Folder; at != "" { // folder is its name of before
				dirs = append(dirs, path.Clean(at))
			}
		}
		return nil
	})
	return dirs, err
}

// within gives the way from a folder to one in it.
func within(folder, at string) (string, bool) {
	rest, ok := strings.CutPrefix(at+"/", strings.TrimRight(folder, "/")+"/")
	return strings.Trim(rest, "/"), ok
}
