package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	migrationv1alpha1 "github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// fakePlane answers as a management cluster over HTTP, out of the fake client of controller-runtime: commands run whole,
// from the command line to the request. It knows the kinds, and nothing of what the CRDs refuse.
type fakePlane struct {
	client client.WithWatch
	codecs serializer.CodecFactory
	mu     sync.Mutex
	// writes are the requests that change something, in words; next ends the next request.
	writes []string
	next   error
	// logs are those of pods, by their names.
	logs map[string]string
}

// served are the kinds by the names of their resources.
var served = map[string]schema.GroupVersionKind{
	"configmaps":         corev1.SchemeGroupVersion.WithKind("ConfigMap"),
	"pods":               corev1.SchemeGroupVersion.WithKind("Pod"),
	"secrets":            corev1.SchemeGroupVersion.WithKind("Secret"),
	"events":             corev1.SchemeGroupVersion.WithKind("Event"),
	"namespaces":         corev1.SchemeGroupVersion.WithKind("Namespace"),
	"clusterdeployments": v1alpha1.GroupVersion.WithKind("ClusterDeployment"),
	"clusters":           v1alpha1.GroupVersion.WithKind("Cluster"),
	"machinesets":        v1alpha1.GroupVersion.WithKind("MachineSet"),
	"machines":           v1alpha1.GroupVersion.WithKind("Machine"),
	"operations":         v1alpha1.GroupVersion.WithKind("Operation"),

	"prometheusmigrations": migrationv1alpha1.GroupVersion.WithKind("PrometheusMigration"),
}

// newFakePlane serves the objects; commands find it as they find the plane of slipway up.
func newFakePlane(t *testing.T, objects ...client.Object) *fakePlane {
	t.Helper()
	scheme := newScheme()
	p := &fakePlane{
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.ClusterDeployment{}).Build(),
		codecs: serializer.NewCodecFactory(scheme),
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	home := t.TempDir()
	t.Setenv("SLIPWAY_HOME", home)
	writeKubeconfig(t, filepath.Join(home, "plane"), server.URL)
	return p
}

func writeKubeconfig(t *testing.T, dir, url string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: %q}}]}`, url)
	if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// NextErr makes the next request for an object end with err; a conflict waits for a write.
func (p *fakePlane) NextErr(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = err
}

// Writes gives the writes since the last call.
func (p *fakePlane) Writes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.writes
	p.writes = nil
	return w
}

func (p *fakePlane) wrote(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes = append(p.writes, fmt.Sprintf(format, args...))
}

// ServeHTTP answers discovery and requests for objects.
func (p *fakePlane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := p.answer(w, r)
	code := http.StatusOK
	if err != nil {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			status = apierrors.NewInternalError(err)
		}
		s := status.Status()
		s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		answer, code = &s, int(s.Code)
	}
	if answer == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func (p *fakePlane) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 1:
		return discoverGroups(parts[0]), nil
	case parts[0] == "api" && len(parts) == 2:
		return discoverKinds(corev1.SchemeGroupVersion), nil
	case parts[0] == "apis" && len(parts) == 3:
		return discoverKinds(schema.GroupVersion{Group: parts[1], Version: parts[2]}), nil
	case parts[0] == "apis":
		parts = parts[1:]
	}
	parts = parts[2:]
	p.mu.Lock()
	err := p.next
	if apierrors.IsConflict(err) && r.Method == http.MethodGet {
		err = nil // only writes meet those of others
	} else {
		p.next = nil
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	namespace := ""
	if parts[0] == "namespaces" && len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	gvk, ok := served[parts[0]]
	if !ok {
		return nil, fmt.Errorf("the fake plane serves no %s", parts[0])
	}
	if len(parts) == 1 && r.Method == http.MethodGet {
		return p.list(w, r, gvk, namespace)
	}
	if len(parts) == 3 && parts[2] == "log" {
		_, err := fmt.Fprint(w, p.logs[parts[1]])
		return nil, err
	}
	obj, err := p.object(gvk, namespace)
	if err != nil {
		return nil, err
	}
	if len(parts) == 2 {
		obj.SetName(parts[1])
	}
	if err := p.change(r, obj, parts[0]); err != nil {
		return nil, err
	}
	return obj, stamp(obj)
}

func (p *fakePlane) object(gvk schema.GroupVersionKind, namespace string) (client.Object, error) {
	o, err := p.client.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	obj := o.(client.Object)
	obj.SetNamespace(namespace)
	return obj, nil
}

func (p *fakePlane) list(w http.ResponseWriter, r *http.Request, gvk schema.GroupVersionKind, namespace string) (any, error) {
	if r.URL.Query().Get("watch") != "" {
		if r.URL.Query().Get("sendInitialEvents") != "" {
			return nil, apierrors.NewInvalid(gvk.GroupKind(), "", nil) // as an older API server does; clients list then
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done() // nothing changes while a command runs
		return nil, nil
	}
	o, err := p.client.Scheme().New(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err != nil {
		return nil, err
	}
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, err
	}
	list := o.(client.ObjectList)
	if err := p.client.List(r.Context(), list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, err
	}
	list.SetResourceVersion("1")
	if err := meta.EachListItem(list, stamp); err != nil {
		return nil, err
	}
	return list, stamp(list)
}

// change reads or writes one object, and keeps in mind what was written.
func (p *fakePlane) change(r *http.Request, obj client.Object, resource string) error {
	ctx, dry := r.Context(), r.URL.Query()["dryRun"]
	words := r.Method + " " + resource
	if len(dry) > 0 {
		words += " (dry run)"
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet:
		return p.client.Get(ctx, client.ObjectKeyFromObject(obj), obj)
	case http.MethodDelete:
		p.wrote("%s %s", words, obj.GetName())
		return p.client.Delete(ctx, obj)
	case http.MethodPatch:
		p.wrote("%s %s %s", words, obj.GetName(), body)
		return p.client.Patch(ctx, obj, client.RawPatch(types.PatchType(r.Header.Get("Content-Type")), body), patchOptions(r))
	}
	namespace := obj.GetNamespace()
	if _, _, err := p.codecs.UniversalDeserializer().Decode(body, nil, obj); err != nil {
		return err
	}
	obj.SetNamespace(namespace)
	if r.Method == http.MethodPut {
		p.wrote("%s %s", words, obj.GetName())
		return p.client.Update(ctx, obj, &client.UpdateOptions{DryRun: dry})
	}
	p.wrote("%s %s", words, obj.GetName()+obj.GetGenerateName())
	return p.client.Create(ctx, obj, &client.CreateOptions{DryRun: dry})
}

// patchOptions are those of a request, such as the one of server-side apply.
func patchOptions(r *http.Request) *client.PatchOptions {
	q := r.URL.Query()
	o := &client.PatchOptions{DryRun: q["dryRun"], FieldManager: q.Get("fieldManager")}
	if q.Get("force") == "true" {
		o.Force = new(bool)
		*o.Force = true
	}
	return o
}

func discoverGroups(root string) runtime.Object {
	if root == "api" {
		return &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	}
	list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, gv := range []schema.GroupVersion{v1alpha1.GroupVersion, migrationv1alpha1.GroupVersion} {
		version := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
	}
	return list
}

func discoverKinds(gv schema.GroupVersion) runtime.Object {
	list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for name, gvk := range served {
		if gvk.GroupVersion() == gv {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: name, Kind: gvk.Kind, Namespaced: name != "namespaces", Verbs: metav1.Verbs{"get", "list", "watch", "create", "update", "patch", "delete"},
			})
		}
	}
	return list
}
