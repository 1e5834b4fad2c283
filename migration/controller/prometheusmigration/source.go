package prometheusmigration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/volume"
)

// Facts are what an old server says of itself; sizes in bytes.
type Facts struct {
	Version    string            `json:"version"`
	Flags      map[string]string `json:"flags"`
	WorkingDir string            `json:"workingDir,omitempty"`
	DataDir    string            `json:"dataDir,omitempty"`
	BlockBytes int64             `json:"blockBytes"`
	HeadBytes  int64             `json:"headBytes"`
}

// Sources asks an old server what it is.
type Sources func(ctx context.Context, address string) (*Facts, error)

const (
	askTimeout = 20 * time.Second
	// maxFacts is far above what flags take.
	maxFacts = 512 << 10
)

// AskSource asks over HTTP.
func AskSource(ctx context.Context, address string) (*Facts, error) {
	c, err := server.New(server.Options{Name: "source", URL: address, Timeout: askTimeout})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	seen, err := survey.Observe(ctx, c)
	if err != nil {
		return nil, err
	}
	f := &Facts{Version: seen.Version, DataDir: seen.Flags.DataDir, Flags: map[string]string{},
		BlockBytes: seen.Storage.BlockBytes, HeadBytes: seen.Storage.WALBytes + seen.Storage.HeadChunkBytes}
	var runtime struct {
		CWD string `json:"CWD"`
	}
	for _, q := range []struct {
		path string
		into any
	}{{"/api/v1/status/flags", &f.Flags}, {"/api/v1/status/runtimeinfo", &runtime}} {
		if _, err := c.Call(ctx, http.MethodGet, q.path, nil, server.Into(q.into)); err != nil {
			return nil, err
		}
	}
	f.WorkingDir = runtime.CWD
	return f, nil
}

// source is what a plan needs of the old server.
type source struct {
	facts   *Facts
	planned target.Source
	// hasAlerting and hasRemoteWrite say what its configuration sends.
	hasAlerting, hasRemoteWrite bool
}

func factsName(m *v1alpha1.PrometheusMigration) string { return m.Name + "-source-facts" }

// facts are those that were witnessed when the source was first asked: a target must not become another one because the source was
// restarted with other flags.
func (r *Reconciler) facts(ctx context.Context, m *v1alpha1.PrometheusMigration) (*Facts, error) {
	var witness corev1.ConfigMap
	err := r.Kit.Live.Get(ctx, key(m, factsName(m)), &witness)
	if err == nil {
		var f Facts
		if err := json.Unmarshal([]byte(witness.Data["facts.json"]), &f); err != nil {
			return nil, fmt.Errorf("reading ConfigMap %s: %w", witness.Name, err)
		}
		return &f, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading what the source was: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	f, err := r.Sources(ctx, m.Spec.Source.URL)
	if err != nil {
		return nil, &unreachable{err}
	}
	text, err := json.Marshal(f)
	if err != nil || len(text) > maxFacts {
		return nil, fmt.Errorf("keeping what the source is: its flags are too long")
	}
	witness = corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: factsName(m), Labels: map[string]string{v1alpha1.NameLabel: m.Name},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(m, v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))}}, Data: map[string]string{"facts.json": string(text)}}
	if err := r.Kit.Live.Create(ctx, &witness); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("keeping what the source is: %w", err)
	}
	r.Kit.Point("migration.facts")
	return f, nil
}

// unreachable says that the source could not be asked.
type unreachable struct{ error }

// Unwrap gives the cause.
func (u *unreachable) Unwrap() error { return u.error }

// configured reads the copy of the source's configuration. What is wrong with it comes back as text for people, with the path of the field.
func (r *Reconciler) configured(ctx context.Context, m *v1alpha1.PrometheusMigration, f *Facts) (*source, string, error) {
	files, problem, err := r.sourceFiles(ctx, m)
	if err != nil || problem != "" {
		return nil, problem, err
	}
	name := configKey(m)
	text, there := files[name]
	if !there {
		return nil, fmt.Sprintf("there is no key %s; it is the configuration file itself", name), nil
	}
	s := &source{facts: f}
	p := &s.planned
	if p.Config, err = config.Parse(name, text); err != nil {
		return nil, err.Error(), nil
	}
	version, _, _ := strings.Cut(f.Version, "+") // Debian's 2.42.0+ds
	if p.Version, err = skew.ParseVersion(version); err != nil {
		return nil, fmt.Sprintf("the source calls its version %q, which cannot be read", f.Version), nil
	}
	p.Flags, p.WorkingDir = skew.ToldFlags(f.Flags), f.WorkingDir
	// The longest block has a tenth of the retention by default (cmd/prometheus/main.go).
	p.Need = volume.Need{Bytes: f.BlockBytes, LargestBlockBytes: f.BlockBytes / 10, HeadBytes: f.HeadBytes}
	dir, _, err := target.Patterns(*p)
	if err != nil {
		return nil, err.Error(), nil
	}
	p.Files = map[string][]byte{}
	for _, k := range slices.Sorted(maps.Keys(files)) {
		if k != name {
			p.Files[path.Join(dir, strings.ReplaceAll(k, "--", "/"))] = files[k]
		}
	}
	s.hasAlerting, s.hasRemoteWrite = p.Config.Has("alerting"), p.Config.Has("remote_write")
	return s, "", nil
}

func configKey(m *v1alpha1.PrometheusMigration) string {
	if c := m.Spec.Source.Config; c != nil && c.Key != "" {
		return c.Key
	}
	return "prometheus.yml"
}

func (r *Reconciler) sourceFiles(ctx context.Context, m *v1alpha1.PrometheusMigration) (map[string][]byte, string, error) {
	c := m.Spec.Source.Config
	if c == nil {
		return nil, "it is missing: a server tells its configuration with every secret masked; make a ConfigMap or Secret of its folder and name it", nil
	}
	files := map[string][]byte{}
	var err error
	what := "ConfigMap " + c.ConfigMapName
	if c.SecretName != "" {
		what = "Secret " + c.SecretName
		var secret corev1.Secret
		err = r.Kit.Live.Get(ctx, key(m, c.SecretName), &secret)
		maps.Copy(files, secret.Data)
	} else {
		var cm corev1.ConfigMap
		err = r.Kit.Live.Get(ctx, key(m, c.ConfigMapName), &cm)
		for k, text := range cm.Data {
			files[k] = []byte(text)
		}
		maps.Copy(files, cm.BinaryData)
	}
	if apierrors.IsNotFound(err) {
		return nil, what + " does not exist in namespace " + m.Namespace, nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the source's configuration: %w", err)
	}
	return files, "", nil
}
