package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// folder is one of the configuration's folders. Its ConfigMap is mounted whole, so that a file that comes later needs no other mount: a pod
// that changes is a restart.
type folder struct {
	// Name is that of the ConfigMap, Path where it is mounted. Volume is empty for the folder of the configuration itself, whose files share its volume.
	Name, Volume, Path string
	Files              []file
}

// notInKey is what the key of a ConfigMap cannot hold.
var notInKey = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// isKey are names of files that a ConfigMap can have as keys (k8s.io/apimachinery/pkg/util/validation, IsConfigMapKey).
var isKey = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

// links is what the kubelet writes into a volume beside the files (pkg/volume/util/atomic_writer.go).
const links = "..data"

// files shares out what stands below the configuration's folder: folders follow, and the files of others are mounted one by one.
func (p *Plan) files(configMap string) (fixed []file, folders []folder, err error) {
	all, tops, err := p.shareOut()
	if err != nil {
		return nil, nil, err
	}
	taken := map[string]string{}
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		if tops[top(dir)] {
			for _, f := range all[dir] {
				f.Key = notInKey.ReplaceAllString(f.Path, "_")
				if other, there := taken[f.Key]; there {
					return nil, nil, fmt.Errorf("%s and %s would have the same key %s in a ConfigMap; rename one of them", other, f.Path, f.Key)
				}
				taken[f.Key] = f.Path
				fixed = append(fixed, f)
			}
			continue
		}
		f := folder{Name: configMap + "-folder", Path: path.Join(p.paths.dir, dir), Files: all[dir]}
		if dir != "." {
			f.Name, f.Volume = f.Name+"-"+slug(dir), fmt.Sprintf("folder-%d", len(folders))
		}
		if err := fits(f.Path, f.Files); err != nil {
			return nil, nil, err
		}
		folders = append(folders, f)
	}
	return fixed, folders, fits(p.paths.dir, fixed)
}

// fits says whether a ConfigMap holds files.
func fits(where string, files []file) error {
	total := 0
	for _, f := range files {
		total += len(f.Key) + len(f.Text)
	}
	if total > maxObject {
		return fmt.Errorf("rule files and files of targets in %s have %d bytes, a ConfigMap holds %d; put some of them into a folder below, "+
			"or leave them out and mount them in the template", where, total, maxObject)
	}
	return nil
}

// shareOut gives the files by their folder below that of the configuration, "." for itself, and the topmost folders that cannot be mounted whole.
func (p *Plan) shareOut() (all map[string][]file, fixed map[string]bool, err error) {
	all, fixed = map[string][]file{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.o.Source.Files)) {
		inner, below := strings.CutPrefix(name, p.paths.dir+"/")
		text := p.o.Source.Files[name]
		switch {
		case !below:
			return nil, nil, fmt.Errorf("%s stands outside of %s, and its path has to stay: mount it in the template, and leave it out here", name, p.paths.dir)
		case !utf8.Valid(text):
			return nil, nil, fmt.Errorf("%s is no UTF-8 text", name)
		case name == p.paths.config:
			continue
		}
		dir, base := path.Dir(inner), path.Base(inner)
		all[dir] = append(all[dir], file{base, inner, string(text)})
		if !isKey.MatchString(base) || strings.HasPrefix(base, "..") {
			fixed[top(dir)] = true
		}
	}
	_, patterns, err := Patterns(p.o.Source)
	if err != nil {
		return nil, nil, err
	}
	for _, pattern := range patterns {
		inner, below := strings.CutPrefix(pattern, p.paths.dir+"/")
		if !below {
			continue
		}
		if dir := path.Dir(inner); !strings.ContainsAny(dir, `*?[\`) && all[dir] == nil {
			all[dir] = []file{} // the first file may come later
		}
		p.findsLinks(inner, all, fixed)
	}
	return all, fixed, nil
}

// findsLinks marks the folders in which a pattern would find the kubelet's own links, and so every rule twice.
func (p *Plan) findsLinks(pattern string, all map[string][]file, fixed map[string]bool) {
	first, inner, _ := strings.Cut(pattern, "/")
	for part := range strings.SplitSeq(inner, "/") {
		if found, err := path.Match(part, links); !found || err != nil {
			continue
		}
		for dir := range all {
			if may, err := path.Match(first, top(dir)); may || err != nil {
				fixed[top(dir)] = true
			}
		}
	}
}

// top is the topmost folder of a path below the configuration's.
func top(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// slug is a folder as a part of a name; another folder has another.
func slug(dir string) string {
	if regexp.MustCompile(`^[a-z0-9]+$`).MatchString(dir) && len(dir) <= 32 {
		return dir
	}
	sum := sha256.Sum256([]byte(dir))
	word := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(dir), "-"), "-")
	return strings.Trim(word[:min(len(word), 32)]+"-"+hex.EncodeToString(sum[:4]), "-")
}

// Unmounted are the paths of files and folders that a planned server reads by one of the patterns, and that one which runs, and is not to be
// restarted, does not have. Folders end with a slash.
func Unmounted(planned, running *appsv1.StatefulSet, patterns []string) (paths []string) {
	has := mountsOf(running)
	for at, what := range mountsOf(planned) {
		if has[at] != what && slices.ContainsFunc(patterns, func(pattern string) bool { return reads(pattern, at) }) {
			paths = append(paths, at)
		}
	}
	slices.Sort(paths)
	return paths
}

// reads says that a pattern may find the file, or a file in the folder, at a path.
func reads(pattern, at string) bool {
	if dir, isFolder := strings.CutSuffix(at, "/"); isFolder {
		pattern, at = path.Dir(pattern), dir
	}
	ok, err := path.Match(pattern, at)
	return ok && err == nil
}

// mountsOf are the places of a server's ConfigMaps, and of their single files.
func mountsOf(set *appsv1.StatefulSet) map[string]string {
	all, volumes := map[string]string{}, map[string]corev1.Volume{}
	for _, v := range set.Spec.Template.Spec.Volumes {
		volumes[v.Name] = v
	}
	for _, c := range set.Spec.Template.Spec.Containers {
		for _, m := range c.VolumeMounts {
			v := volumes[m.Name]
			if c.Name != "prometheus" || v.ConfigMap == nil && v.Projected == nil {
				continue
			}
			if v.ConfigMap != nil {
				all[m.MountPath+"/"] = v.ConfigMap.Name
				continue
			}
			for _, s := range v.Projected.Sources {
				if s.ConfigMap == nil {
					continue
				}
				if len(s.ConfigMap.Items) == 0 {
					all[m.MountPath+"/"] = s.ConfigMap.Name
				}
				for _, item := range s.ConfigMap.Items {
					all[path.Join(m.MountPath, item.Path)] = s.ConfigMap.Name + "/" + item.Key
				}
			}
		}
	}
	return all
}
