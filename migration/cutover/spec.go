package cutover

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/server"
	"sigs.k8s.io/yaml"
)

// Spec says what is to be cut over. It names files with secrets and holds none.
type Spec struct {
	Source Server `json:"source"`
	Target Server `json:"target"`
	// Grafana lists the places where people look.
	Grafana []Grafana `json:"grafana,omitempty"`
	// Alerting, if there, moves the sending of alerts.
	Alerting *Alerting `json:"alerting,omitempty"`
	// RemoteWrite, if there, moves remote_write.
	RemoteWrite *RemoteWrite `json:"remoteWrite,omitempty"`
	// UsersService says that people ask a Service which somebody else leads to the target: there may be nothing else to do.
	UsersService bool `json:"usersService,omitempty"`
	// Window, if there, is when steps that people notice may begin.
	Window *Window `json:"window,omitempty"`
	// Overrides are names of rules that are switched off.
	Overrides []string `json:"overrides,omitempty"`
}

// Endpoint is a server of HTTP. Secrets are in files of one line.
type Endpoint struct {
	URL          string `json:"url"`
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
	TokenFile    string `json:"tokenFile,omitempty"`
	CAFile       string `json:"caFile,omitempty"`
}

// ReloadBy says how a server is told to read its file again.
type ReloadBy string

// The ways to reload. Manual, the default, prints what a person has to do and waits until the server shows it.
const (
	ReloadManual ReloadBy = "Manual"
	ReloadHTTP   ReloadBy = "HTTP"
	ReloadSignal ReloadBy = "Signal"
	// ReloadDeclared is of a target whose file somebody else writes, for instance a controller through a ConfigMap: the progress says what is wanted.
	ReloadDeclared ReloadBy = "Declared"
)

// Server is a Prometheus server and the file that it runs with.
type Server struct {
	Endpoint `json:",inline"`
	// ConfigFile is edited. With reloadBy Manual it may be a copy.
	ConfigFile string   `json:"configFile,omitempty"`
	ReloadBy   ReloadBy `json:"reloadBy,omitempty"`
	// Host is where ConfigFile is; none means this host.
	Host *Host `json:"host,omitempty"`
	// PID is the number of the server's process on this host, PIDFile a file with it; one of them for reloadBy Signal.
	PID     int    `json:"pid,omitempty"`
	PIDFile string `json:"pidFile,omitempty"`
	// Unit is the server's unit of systemd on Host, instead of PIDFile: systemctl reload.
	Unit string `json:"unit,omitempty"`
}

// Grafana is one organisation of a Grafana server.
type Grafana struct {
	Endpoint `json:",inline"`
	// OrgID is the organisation; 0 is the one that the credentials belong to.
	OrgID int64 `json:"orgID,omitempty"`
	// DataSourceUIDs are changed; none means all of type prometheus that have the old address.
	DataSourceUIDs []string `json:"dataSourceUIDs,omitempty"`
	// OldURL and NewURL are the addresses as Grafana reaches the servers; default those of source and target.
	OldURL string `json:"oldURL,omitempty"`
	NewURL string `json:"newURL,omitempty"`
	// ProvisioningFile is the YAML file, or the manifest of a ConfigMap, that provisions the data sources.
	ProvisioningFile string `json:"provisioningFile,omitempty"`
}

// Alerting says where alerts are told.
type Alerting struct {
	// Alertmanagers are asked which alerts they have; default those that the source sends to.
	Alertmanagers []Endpoint `json:"alertmanagers,omitempty"`
	// SectionFile holds an alerting section for the target; default the source's own.
	SectionFile string `json:"sectionFile,omitempty"`
}

// RemoteWrite says what the target writes.
type RemoteWrite struct {
	// SectionFile holds a remote_write section for the target; default the source's own.
	SectionFile string `json:"sectionFile,omitempty"`
}

const maxFile = 16 << 20

// ReadSpec reads YAML or JSON; fields that do not exist are errors. Paths in it are relative to dir.
func ReadSpec(data []byte, dir string) (*Spec, error) {
	var s Spec
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err := yaml.UnmarshalStrict(data, &s); err != nil {
		// Where it went through on the way says nothing to people.
		return nil, fmt.Errorf("reading YAML: %s", strings.TrimPrefix(err.Error(), "error unmarshaling JSON: while decoding JSON: json: "))
	}
	for _, path := range s.paths() {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	if err := s.complete(); err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *Spec) endpoints() map[string]*Endpoint {
	all := map[string]*Endpoint{"source": &s.Source.Endpoint, "target": &s.Target.Endpoint}
	for i := range s.Grafana {
		all[fmt.Sprintf("grafana[%d]", i)] = &s.Grafana[i].Endpoint
	}
	if s.Alerting != nil {
		for i := range s.Alerting.Alertmanagers {
			all[fmt.Sprintf("alerting.alertmanagers[%d]", i)] = &s.Alerting.Alertmanagers[i]
		}
	}
	return all
}

func (s *Spec) paths() []*string {
	var all []*string
	for _, side := range []*Server{&s.Source, &s.Target} {
		if side.Host == nil {
			all = append(all, &side.ConfigFile, &side.PIDFile)
		} else { // the others are on that host
			all = append(all, &side.Host.KeyFile)
		}
	}
	for _, e := range s.endpoints() {
		all = append(all, &e.PasswordFile, &e.TokenFile, &e.CAFile)
	}
	for i := range s.Grafana {
		all = append(all, &s.Grafana[i].ProvisioningFile)
	}
	if s.Alerting != nil {
		all = append(all, &s.Alerting.SectionFile)
	}
	if s.RemoteWrite != nil {
		all = append(all, &s.RemoteWrite.SectionFile)
	}
	return all
}

// complete checks the spec and fills in defaults. Every problem is told, not only the first.
func (s *Spec) complete() error {
	var problems []error
	for name, e := range s.endpoints() {
		if e.URL == "" {
			problems = append(problems, fmt.Errorf("%s.url is missing", name))
		}
	}
	for name, side := range map[string]*Server{"source": &s.Source, "target": &s.Target} {
		problems = append(problems, side.complete(name, s.Alerting != nil || s.RemoteWrite != nil))
	}
	if s.Source.ConfigFile != "" && s.Source.file() == s.Target.file() {
		problems = append(problems, errors.New("source.configFile and target.configFile are one file"))
	}
	for i := range s.Grafana {
		problems = append(problems, s.completeGrafana(i))
	}
	problems = append(problems, s.checkOverrides())
	if s.Window != nil {
		problems = append(problems, s.Window.complete())
	}
	if s.Source.ReloadBy == ReloadDeclared {
		problems = append(problems, errors.New("source.reloadBy Declared is for the target alone: the source's file is edited only with the approval of a person"))
	}
	problems = append(problems, s.somethingToDo())
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return errors.Join(problems...)
}

func (s *Spec) somethingToDo() error {
	if len(s.Grafana) == 0 && s.Alerting == nil && s.RemoteWrite == nil && !s.UsersService {
		return errors.New("there is nothing to do: give grafana, alerting or remoteWrite, or say usersService: true if people ask a Service that leads to the target")
	}
	return nil
}

func (s *Spec) checkOverrides() error {
	for _, name := range s.Overrides {
		if !slices.ContainsFunc(Rules(), func(r Rule) bool { return r.Name == name && r.Overridable }) {
			return fmt.Errorf("overrides: there is no rule %q that can be switched off", name)
		}
	}
	return nil
}

func (s *Server) complete(name string, edited bool) error {
	if s.ReloadBy == "" {
		s.ReloadBy = ReloadManual
	}
	if s.ReloadBy == ReloadDeclared {
		if s.ConfigFile != "" || s.PIDFile != "" || s.Unit != "" || s.PID != 0 || s.Host != nil {
			return fmt.Errorf("%s: reloadBy Declared goes with neither configFile, host, pid, pidFile nor unit: somebody else writes the file", name)
		}
		return nil
	}
	if s.Host != nil {
		if err := s.Host.complete(name, s); err != nil {
			return err
		}
	}
	switch {
	case edited && s.ConfigFile == "":
		return fmt.Errorf("%s.configFile is missing: alerting and remoteWrite are moved in it", name)
	case !slices.Contains([]ReloadBy{ReloadManual, ReloadHTTP, ReloadSignal}, s.ReloadBy):
		return fmt.Errorf("%s.reloadBy is %q, want %s, %s, %s or %s", name, s.ReloadBy, ReloadManual, ReloadHTTP, ReloadSignal, ReloadDeclared)
	}
	return s.completeSignal(name)
}

func (s *Server) completeSignal(name string) error {
	given := 0
	for _, there := range []bool{s.PID != 0, s.PIDFile != "", s.Unit != ""} {
		if there {
			given++
		}
	}
	switch {
	case s.Unit != "" && (s.Host == nil || !unitName.MatchString(s.Unit)):
		return fmt.Errorf("%s.unit %q: want the name of a unit of systemd, on %s.host", name, s.Unit, name)
	case s.PID < 0 || s.PID == 1 || (s.ReloadBy == ReloadSignal) != (given == 1) || given > 1:
		return fmt.Errorf("%s.pid, %s.pidFile or %s.unit, and only one of them, go with reloadBy %s", name, name, name, ReloadSignal)
	}
	return nil
}

func (s *Spec) completeGrafana(i int) error {
	g := &s.Grafana[i]
	if g.OldURL == "" {
		g.OldURL = s.Source.URL
	}
	if g.NewURL == "" {
		g.NewURL = s.Target.URL
	}
	for field, text := range map[string]string{"oldURL": g.OldURL, "newURL": g.NewURL} {
		if u, err := url.Parse(text); err != nil || u.User != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("grafana[%d].%s is no address like http://prometheus:9090, or holds a password", i, field)
		}
	}
	if sameURL(g.OldURL, g.NewURL) {
		return fmt.Errorf("grafana[%d]: the old and the new address are the same, %s", i, g.NewURL)
	}
	return nil
}

func (s *Spec) overridden(rule string) bool { return slices.Contains(s.Overrides, rule) }

// sameURL compares addresses as Grafana uses them: a slash at the end does not matter.
func sameURL(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

func newClient(name string, e Endpoint) (*server.Client, error) {
	return server.New(server.Options{Name: name, URL: e.URL, User: e.User, PasswordFile: e.PasswordFile, TokenFile: e.TokenFile, CAFile: e.CAFile, Timeout: requestTimeout})
}
