package target

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestFoldersOfRulesAndTargets(t *testing.T) {
	cases := []struct {
		name  string
		rules string // rule_files
		files []string
		want  []string // mounts of the pod, folders with a slash at the end
	}{
		{"a folder is mounted whole", "rules/*.yml", []string{"rules/shop.yml", "rules/shop.txt"}, []string{"rules/"}},
		{"a folder without a file waits for one", "rules/*.yml", nil, []string{"rules/"}},
		{"files beside the configuration share its volume", "*.rules", []string{"a.rules", "prometheus.yml"}, []string{"/"}},
		{"folders below folders are mounted each", "rules/*.yml, rules/team a/b/*.yml", []string{"rules/x.yml"}, []string{"rules/", "rules/team a/b/"}},
		{"a name that is no key is mounted by itself", "rules/*.yml", []string{"rules/of the shop.yml", "rules/b.yml", "more/c.yml"}, []string{"more/", "rules/b.yml", "rules/of the shop.yml"}},
		{"a pattern without an end would find the kubelet's links", "rules/*", []string{"rules/b.yml", "rules/in/c.yml"}, []string{"rules/b.yml", "rules/in/c.yml"}},
		{"a pattern of folders would find them, too", "rules/*/*.yml", []string{"rules/team/b.yml", "more/c.yml"}, []string{"more/", "rules/team/b.yml"}},
		{"a pattern of all folders finds them everywhere", "*/*/x.yml", []string{"rules/b.yml"}, []string{"rules/b.yml"}},
		{"what is elsewhere is not ours to mount", "/srv/rules/*.yml", nil, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set := withFiles(t, c.rules, c.files)
			var got []string
			for at := range mountsOf(set) {
				if inner := strings.TrimPrefix(at, "/etc/prometheus"); inner != "/prometheus.yml" {
					got = append(got, strings.TrimPrefix(inner, "/")+map[bool]string{true: "/"}[inner == "/"])
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// withFiles is the server of a source with these rule files.
func withFiles(t *testing.T, rules string, files []string) *appsv1.StatefulSet {
	t.Helper()
	o := shop(t)
	o.Source.Config = parse(t, `rule_files: ["`+strings.ReplaceAll(rules, ", ", `", "`)+"\"]\n")
	o.Source.Files = map[string][]byte{}
	for _, f := range files {
		o.Source.Files[path.Join("/etc/prometheus", f)] = []byte("groups: []\n")
	}
	m, err := plan(t, o).Manifests("")
	if err != nil {
		t.Fatal(err)
	}
	set := find[*appsv1.StatefulSet](m.Objects, "prometheus-ecs")
	for at, name := range mountsOf(set) {
		if !strings.HasSuffix(at, "/") {
			continue
		}
		cm := find[*corev1.ConfigMap](m.Objects, name)
		if cm == nil {
			t.Fatalf("%s is mounted at %s, and is not there", name, at)
		}
		for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
			if inner := strings.TrimPrefix(path.Join(at, key), "/etc/prometheus/"); !slices.Contains(files, inner) || cm.Data[key] != "groups: []\n" {
				t.Errorf("%s of %s is none of the files", key, name)
			}
		}
	}
	return set
}

func TestUnmounted(t *testing.T) {
	running := withFiles(t, "rules/*.yml, odd/*", []string{"rules/a.yml", "odd/a.yml"})
	cases := []struct {
		name  string
		rules string
		files []string
		want  []string
	}{
		{"the same needs nothing", "rules/*.yml, odd/*", []string{"rules/a.yml", "odd/a.yml"}, nil},
		{"another file of a folder needs nothing", "rules/*.yml, odd/*", []string{"rules/a.yml", "rules/b.yml", "odd/a.yml"}, nil},
		{"no file needs nothing", "rules/*.yml", nil, nil},
		{"a folder that nothing reads needs nothing", "rules/*.yml", []string{"notes/a.txt"}, nil},
		{"another folder is named", "rules/*.yml, new/*.yml", nil, []string{"/etc/prometheus/new/"}},
		{"another file among those that are mounted one by one is named", "odd/*", []string{"odd/a.yml", "odd/b.yml"}, []string{"/etc/prometheus/odd/b.yml"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Unmounted(withFiles(t, c.rules, c.files), running, strings.Split("/etc/prometheus/"+strings.ReplaceAll(c.rules, ", ", ",/etc/prometheus/"), ","))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
