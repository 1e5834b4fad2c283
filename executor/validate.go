package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	nameShape     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	playbookShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	fileShape     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)
)

// Validate says what is missing or misshapen in a run. Names become names of files and objects, so their shape is checked.
func (r Run) Validate() error {
	switch {
	case r.Name == "":
		return errors.New("the run has no name")
	case !nameShape.MatchString(r.Name):
		return fmt.Errorf("the name of run %q is no DNS label", r.Name)
	case !playbookShape.MatchString(r.Playbook):
		return fmt.Errorf("run %s has no playbook, or one that is no plain name: %q", r.Name, r.Playbook)
	case r.ContentVersion != "" && !fileShape.MatchString(r.ContentVersion):
		return fmt.Errorf("run %s has a content version that is no plain name: %q", r.Name, r.ContentVersion)
	case len(r.Hosts) == 0:
		return fmt.Errorf("run %s has no hosts", r.Name)
	case r.Forks < 0 || r.TimeoutSeconds < 0:
		return fmt.Errorf("run %s has negative forks or a negative timeout", r.Name)
	}
	return r.validateContent()
}

func (r Run) validateContent() error {
	seen := make(map[string]bool, len(r.Hosts))
	for _, h := range r.Hosts {
		if h == "" || strings.ContainsAny(h, " \t\n/") || seen[h] {
			return fmt.Errorf("run %s has an empty, doubled or misshapen host name: %q", r.Name, h)
		}
		seen[h] = true
	}
	for name := range r.Keys {
		if !fileShape.MatchString(name) {
			return fmt.Errorf("run %s has a key whose file name is no plain name: %q", r.Name, name)
		}
	}
	for what, b := range map[string][]byte{"vars": r.Vars, "secret vars": r.SecretVars} {
		var object map[string]json.RawMessage
		if len(b) > 0 && json.Unmarshal(b, &object) != nil {
			return fmt.Errorf("the %s of run %s are no JSON object", what, r.Name)
		}
	}
	return nil
}
