//go:build plane

package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/plane"
	"github.com/slipway-dev/slipway/plane/planetest"
)

// startBinder runs the controllers of volumes, which the plane does without, until the test ends.
func startBinder(t *testing.T) {
	t.Helper()
	program, err := planetest.Binaries(t.Context(), plane.ControllerManager)
	if err != nil {
		t.Fatal(err)
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["plane"] = &clientcmdapi.Cluster{Server: apiServer.Host, CertificateAuthority: apiServer.CAFile}
	c.AuthInfos["plane"] = &clientcmdapi.AuthInfo{ClientCertificate: apiServer.CertFile, ClientKey: apiServer.KeyFile}
	c.Contexts["plane"] = &clientcmdapi.Context{Cluster: "plane", AuthInfo: "plane"}
	c.CurrentContext = "plane"
	config, log := filepath.Join(t.TempDir(), "kubeconfig"), filepath.Join(t.TempDir(), "log")
	if err := clientcmd.WriteToFile(*c, config); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--kubeconfig="+config, "--leader-elect=false", "--secure-port=0", "--pvclaimbinder-sync-period=1s",
		"--controllers=persistentvolume-binder-controller,persistentvolumeclaim-protection-controller,persistentvolume-protection-controller")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_ = out.Close()
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("kube-controller-manager: %s", text[max(0, len(text)-4000):])
		}
	})
}

// TestAReleasedVolume is one of the surprises of moving by hand: a claim that was deleted and made again does not get its volume back. It
// shows that with the real controllers first, and then that what CheckCluster says frees the volume.
func TestAReleasedVolume(t *testing.T) {
	startBinder(t)
	c := kubetest.Client(t, apiServer, clientgoscheme.Scheme)
	kubetest.Must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "released"}})
	w := Wanted{Claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "released", Name: "prometheus-ecs-data"}}}
	class, size := "by-hand", corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
	w.Claim.Spec = corev1.PersistentVolumeClaimSpec{StorageClassName: &class, VolumeName: "pv-released", AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{Requests: size}}
	kubetest.Must(t, c, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-released"}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: w.Claim.Spec.AccessModes, StorageClassName: class, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}}})
	kubetest.Must(t, c, w.Claim.DeepCopy())
	claimIs(t, c, w, corev1.ClaimBound)

	// By hand: the claim is deleted and made again.
	if err := c.Delete(t.Context(), w.Claim.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, "the end of the claim", func(ctx context.Context) error {
		v := &corev1.PersistentVolume{}
		if err := c.Get(ctx, types.NamespacedName{Name: "pv-released"}, v); err != nil || v.Status.Phase != corev1.VolumeReleased {
			return fmt.Errorf("the volume is %s: %w", v.Status.Phase, err)
		}
		if err := c.Get(ctx, client.ObjectKeyFromObject(&w.Claim), &corev1.PersistentVolumeClaim{}); client.IgnoreNotFound(err) != nil || err == nil {
			return errors.New("the claim is still there")
		}
		return nil
	})
	kubetest.Must(t, c, w.Claim.DeepCopy())
	kubetest.Eventually(t, "the complaint of the binder", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := c.List(ctx, &events, client.InNamespace("released")); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.Name == w.Claim.Name && e.Reason == "FailedBinding" && strings.Contains(e.Note, "already bound to a different claim") {
				return nil
			}
		}
		return fmt.Errorf("%d events, none of them", len(events.Items))
	})
	claimIs(t, c, w, corev1.ClaimPending)

	// The product's answer.
	findings := CheckCluster(w, look(t, c, w))
	if len(findings) == 0 || findings[0].Rule != RuleVolumeReleased || findings[0].Verdict != Refused {
		t.Fatalf("%+v", findings)
	}
	command := regexp.MustCompile(`kubectl patch pv (\S+) --type merge -p '(.*)'$`).FindStringSubmatch(findings[0].Fix)
	if command == nil {
		t.Fatalf("there is no command in %q", findings[0].Fix)
	}
	if err := c.Patch(t.Context(), &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: command[1]}}, client.RawPatch(types.MergePatchType, []byte(command[2]))); err != nil {
		t.Fatalf("%s: %v", command[0], err)
	}
	claimIs(t, c, w, corev1.ClaimBound)
	for _, f := range CheckCluster(w, look(t, c, w)) {
		if f.Verdict == Refused && f.Rule != RuleOwnership { // there is no pod here
			t.Errorf("after the command: %+v", f)
		}
	}
}

func claimIs(t *testing.T, c client.Client, w Wanted, want corev1.PersistentVolumeClaimPhase) {
	t.Helper()
	kubetest.Eventually(t, "a claim that is "+string(want), func(ctx context.Context) error {
		claim := &corev1.PersistentVolumeClaim{}
		if err := c.Get(ctx, client.ObjectKeyFromObject(&w.Claim), claim); err != nil || claim.Status.Phase != want {
			return fmt.Errorf("it is %s: %w", claim.Status.Phase, err)
		}
		return nil
	})
}

// look reads what CheckCluster wants to know, as a controller does.
func look(t *testing.T, c client.Client, w Wanted) Cluster {
	t.Helper()
	there := Cluster{Claim: &corev1.PersistentVolumeClaim{}, Namespace: &corev1.Namespace{}}
	var volumes corev1.PersistentVolumeList
	var classes storagev1.StorageClassList
	err := errors.Join(c.Get(t.Context(), client.ObjectKeyFromObject(&w.Claim), there.Claim), c.Get(t.Context(), types.NamespacedName{Name: w.Claim.Namespace}, there.Namespace),
		c.List(t.Context(), &volumes), c.List(t.Context(), &classes))
	if err != nil {
		t.Fatal(err)
	}
	there.Volumes, there.Classes = volumes.Items, classes.Items
	return there
}
