//go:build plane

package plane_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/plane"
	"github.com/slipway-dev/slipway/plane/planetest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// objects are all Secrets and ConfigMaps of a plane, but for what a restore must change.
func objects(t *testing.T, c *kubernetes.Clientset) map[string]any {
	t.Helper()
	out := map[string]any{}
	secrets, err := c.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range secrets.Items {
		out["secret/"+object.Namespace+"/"+object.Name] = object
	}
	maps, err := c.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range maps.Items {
		out["configmap/"+object.Namespace+"/"+object.Name] = object
	}
	return out
}

func revision(t *testing.T, c *kubernetes.Clientset) (string, int) {
	t.Helper()
	list, err := c.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(list.ResourceVersion)
	if err != nil {
		t.Fatal(err)
	}
	return list.ResourceVersion, number
}

func backup(t *testing.T, dir, content string) (string, plane.Manifest) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backup")
	m, err := plane.Backup(t.Context(), plane.BackupOptions{
		Options: options(dir), File: file, Extra: map[string]string{"content": content}, Slipway: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return file, m
}

func TestBackupAndRestore(t *testing.T) {
	dir, content := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(content, "v1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(content, "v1", "run"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := run(t, dir)
	c := client(t, p.Kubeconfig())
	write(t, c, "before")
	checkControllers(t, c) // the root CA ConfigMaps are there when this returns
	want := objects(t, c)
	file, m := backup(t, dir, content)
	if m.ID != p.State().ID || m.Etcd == "" {
		t.Errorf("manifest %+v", m)
	}
	write(t, c, "after")
	lost, highest := revision(t, c)
	stop(t, p)

	restored, place := filepath.Join(t.TempDir(), "plane"), t.TempDir()
	if _, err := plane.Restore(t.Context(), plane.RestoreOptions{
		Dir: restored, File: file, Binaries: planetest.Binaries, Extra: map[string]string{"content": place},
	}); err != nil {
		t.Fatal(err)
	}
	p = run(t, restored)
	c = client(t, p.Kubeconfig())
	if diff := cmp.Diff(want, objects(t, c)); diff != "" {
		t.Errorf("objects differ after the restore (-before +after):\n%s", diff)
	}
	if _, now := revision(t, c); now <= highest {
		t.Errorf("the revision went back from %d to %d", highest, now)
	}
	checkWatchIsRefused(t, c, lost)
	write(t, c, "new")
	checkControllers(t, c)
	if s := p.State(); s.ID != m.ID || s.Restored == nil || !s.Restored.BackupTime.Equal(m.Created) {
		t.Errorf("state after the restore: %+v", s)
	}
	if info, err := os.Stat(filepath.Join(place, "v1", "run")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("content after the restore: %v, %v", info, err)
	}
}

// checkWatchIsRefused holds a watcher of the lost plane against the restored one: it must be told to list again.
func checkWatchIsRefused(t *testing.T, c *kubernetes.Clientset, revision string) {
	t.Helper()
	watch, err := c.CoreV1().Secrets("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: revision})
	if err != nil {
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			t.Errorf("watching from the lost revision: %v, want that it is gone", err)
		}
		return
	}
	defer watch.Stop()
	event := <-watch.ResultChan()
	if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("watching from the lost revision gives %v %v, want that it is gone", event.Type, event.Object)
	}
}

func TestBackupOfStoppedPlane(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	write(t, client(t, p.Kubeconfig()), "first")
	stop(t, p)
	file, _ := backup(t, dir, t.TempDir())
	if len(processes(t, dir)) != 0 {
		t.Errorf("the backup left %v", processes(t, dir))
	}
	restored := filepath.Join(t.TempDir(), "plane")
	if _, err := plane.Restore(t.Context(), plane.RestoreOptions{Dir: restored, File: file, Binaries: planetest.Binaries}); err != nil {
		t.Fatal(err)
	}
	p = run(t, restored)
	mustHave(t, client(t, p.Kubeconfig()), "first")
}

func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	stop(t, run(t, dir))
	file, _ := backup(t, dir, t.TempDir())
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data []byte
		dir  string
		want error
	}{
		"a directory that holds something": {whole, used, plane.ErrNotEmpty},
		"the directory of a plane":         {whole, dir, plane.ErrNotEmpty},
		"a backup with a flipped bit":      {flipped, filepath.Join(t.TempDir(), "p"), plane.ErrCorrupt},
		"a backup that was cut off":        {whole[:len(whole)-100], filepath.Join(t.TempDir(), "p"), plane.ErrCorrupt},
		"something else":                   {[]byte("hello"), filepath.Join(t.TempDir(), "p"), plane.ErrCorrupt},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "backup")
			if err := os.WriteFile(file, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := plane.Restore(t.Context(), plane.RestoreOptions{Dir: test.dir, File: file, Binaries: planetest.Binaries})
			if !errors.Is(err, test.want) {
				t.Errorf("Restore: %v, want %v", err, test.want)
			}
			if errors.Is(test.want, plane.ErrCorrupt) && !strings.Contains(err.Error(), file) {
				t.Errorf("%v does not name the file", err)
			}
		})
	}
	if entries, err := os.ReadDir(used); err != nil || len(entries) != 1 {
		t.Errorf("a refused restore changed the directory: %v, %v", entries, err)
	}
}
