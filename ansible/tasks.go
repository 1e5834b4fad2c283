package ansible

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// play is what is read of a play or a task list; the rest is Ansible's business.
type play struct {
	Name  string `json:"name"`
	Hosts string `json:"hosts"`
	Tasks []task `json:"tasks"`
}

type task struct {
	Name    string   `json:"name"`
	When    string   `json:"when"`
	Tags    []string `json:"tags"`
	Block   []task   `json:"block"`
	Import  *roleUse `json:"ansible.builtin.import_role"`
	Include *roleUse `json:"ansible.builtin.include_role"`
}

type roleUse struct {
	Name string `json:"name"`
	From string `json:"tasks_from"`
}

// TaskCount is how many results a host in these groups reports in a run of an entry point: the total of its progress.
// Finished stages count as well, since each of their tasks is reported as skipped.
func TaskCount(entryPoint string, groups ...string) (int, error) {
	var plays []play
	if err := readYAML(path.Join("playbooks", entryPoint+".yml"), &plays); err != nil {
		return 0, err
	}
	total := 0
	for _, p := range plays {
		if !p.targets(groups) {
			continue
		}
		for _, t := range p.Tasks {
			n, err := t.count(groups)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// Restartable lists tasks, as "role : task", that may report a change in more than one attempt: what they do is not done
// in one step, and an attempt that was cut off goes through it again.
func Restartable() ([]string, error) {
	files, err := fs.Glob(embedded, "roles/*/tasks/main.yml")
	if err != nil {
		return nil, fmt.Errorf("listing roles: %w", err)
	}
	var names []string
	for _, file := range files {
		var tasks []task
		if err := readYAML(file, &tasks); err != nil {
			return nil, err
		}
		role := strings.Split(file, "/")[1]
		for _, t := range flatten(tasks) {
			if slices.Contains(t.Tags, "restartable") {
				names = append(names, role+" : "+t.Name)
			}
		}
	}
	return names, nil
}

func (p play) targets(groups []string) bool {
	return slices.ContainsFunc(strings.Split(p.Hosts, ":"), func(pattern string) bool {
		return pattern == "all" || slices.Contains(groups, pattern)
	})
}

func (t task) count(groups []string) (int, error) {
	switch {
	case t.Import != nil:
		return t.Import.count()
	case t.Include != nil && t.applies(groups):
		n, err := t.Include.count()
		return 1 + n, err
	default:
		return 1, nil
	}
}

// applies evaluates a condition as far as it asks for groups; anything else counts as true.
func (t task) applies(groups []string) bool {
	any := strings.Contains(t.When, " or ")
	for term := range strings.SplitSeq(strings.ReplaceAll(t.When, " or ", " and "), " and ") {
		group, asks := strings.CutSuffix(strings.TrimSpace(term), " in group_names")
		if holds := !asks || slices.Contains(groups, strings.Trim(group, "'")); holds == any {
			return any
		}
	}
	return !any
}

// count is the tasks of a role and, where the role says what it takes, the check of that.
func (u roleUse) count() (int, error) {
	entry := u.From
	if entry == "" {
		entry = "main"
	}
	var tasks []task
	if err := readYAML(path.Join("roles", u.Name, "tasks", entry+".yml"), &tasks); err != nil {
		return 0, err
	}
	var specs struct {
		Specs map[string]any `json:"argument_specs"`
	}
	if err := readYAML(path.Join("roles", u.Name, "meta", "argument_specs.yml"), &specs); err != nil {
		return 0, err
	}
	n := len(flatten(tasks))
	if _, ok := specs.Specs[entry]; ok {
		n++
	}
	return n, nil
}

// flatten gives the tasks in all blocks, in order.
func flatten(tasks []task) []task {
	var flat []task
	for _, t := range tasks {
		if t.Block != nil {
			flat = append(flat, flatten(t.Block)...)
		} else {
			flat = append(flat, t)
		}
	}
	return flat
}

func readYAML(name string, target any) error {
	b, err := embedded.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading the embedded %s: %w", name, err)
	}
	if err := yaml.Unmarshal(b, target); err != nil {
		return fmt.Errorf("reading the embedded %s: %w", name, err)
	}
	return nil
}
