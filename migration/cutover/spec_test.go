package cutover

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadSpecRefuses(t *testing.T) {
	const good = "source: {url: http://a}\ntarget: {url: http://b}\ngrafana: [{url: http://g}]\n"
	for name, c := range map[string]struct{ text, want string }{
		"a field that does not exist":      {good + "colour: red\n", "unknown field \"colour\""},
		"nothing to do":                    {"source: {url: http://a}\ntarget: {url: http://b}\n", "there is nothing to do"},
		"a server without an address":      {"source: {}\ntarget: {url: http://b}\ngrafana: [{url: http://g}]\n", "source.url is missing"},
		"alerts without a file":            {good + "alerting: {}\n", "source.configFile is missing"},
		"the same file twice":              {"source: {url: http://a, configFile: f}\ntarget: {url: http://b, configFile: ./f}\nalerting: {}\n", "are one file"},
		"a way to reload that is none":     {"source: {url: http://a, reloadBy: Magic}\ntarget: {url: http://b}\ngrafana: [{url: http://g}]\n", `source.reloadBy is "Magic"`},
		"a signal without a process":       {"source: {url: http://a, reloadBy: Signal}\ntarget: {url: http://b}\ngrafana: [{url: http://g}]\n", "source.pid, source.pidFile or source.unit"},
		"a process without a signal":       {"source: {url: http://a, pid: 7}\ntarget: {url: http://b}\ngrafana: [{url: http://g}]\n", "source.pid, source.pidFile or source.unit"},
		"the same address twice":           {"source: {url: http://a}\ntarget: {url: http://a/}\ngrafana: [{url: http://g}]\n", "are the same"},
		"a password in an address":         {good[:len(good)-4] + ", newURL: 'http://u:geheim@x'}]\n", "or holds a password"},
		"a rule that cannot be overridden": {good + "overrides: [unchanged_since]\n", `no rule "unchanged_since" that can be switched off`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadSpec([]byte(c.text), "/d")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

func TestReadSpecTakesAServiceOfUsersAlone(t *testing.T) {
	s, err := ReadSpec([]byte("source: {url: http://a}\ntarget: {url: http://b}\nusersService: true\n"), "/d")
	if err != nil || !s.UsersService {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestReadSpecCompletes(t *testing.T) {
	s, err := ReadSpec([]byte("source: {url: http://a, configFile: a.yml}\ntarget: {url: http://b, configFile: /x/b.yml}\ngrafana: [{url: http://g, tokenFile: t}]\nalerting: {alertmanagers: [{url: http://m, caFile: ca}]}\n"), "/d")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.Source.ConfigFile, s.Target.ConfigFile, s.Grafana[0].TokenFile, s.Grafana[0].NewURL, s.Grafana[0].OldURL, s.Alerting.Alertmanagers[0].CAFile, string(s.Source.ReloadBy)}
	want := []string{"/d/a.yml", "/x/b.yml", "/d/t", "http://b", "http://a", filepath.Join("/d", "ca"), "Manual"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzReadSpec(f *testing.F) {
	f.Add("source: {url: http://a}\ntarget: {url: http://b}\ngrafana: [{url: http://g}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadSpec([]byte(text), "/d")
		if err == nil && (s.Source.URL == "" || s.Target.URL == "") {
			t.Error("it has no servers")
		}
	})
}
