package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/fleet/addon"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/inventory"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// renewAddonCertificates is how often addons get new serving certificates; each is good for twice as long.
const renewAddonCertificates = 180 * 24 * time.Hour

// renderAddon makes the objects of a shipped addon.
func (d *domain) renderAddon(dep *v1alpha1.ClusterDeployment, release Release, a v1alpha1.Addon) ([]unstructured.Unstructured, string, error) {
	dns, err := inventory.ClusterDNS(dep.Spec)
	if err != nil {
		return nil, "", fmt.Errorf("rendering addon %s: %w", a.Name, err)
	}
	facts := addon.Facts{ClusterDNS: dns, KubernetesVersion: release.Manifest.Kubernetes, Images: map[string]string{}}
	for _, image := range release.Manifest.Images {
		facts.Images[image.Name] = image.Reference
	}
	facts.Issue = func(commonName string, names []string) ([]byte, []byte, []byte, error) {
		return d.issue(dep, commonName, names)
	}
	var values []byte
	if a.Values != nil {
		values = a.Values.Raw
	}
	rendered, err := addon.Render(a.Name, values, facts)
	return rendered.Objects, rendered.Digest, err
}

// issue derives a serving certificate from the authority of a cluster: the same until it is time for a new one.
func (d *domain) issue(dep *v1alpha1.ClusterDeployment, commonName string, names []string) (certificate, key, authority []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var secret corev1.Secret
	if err := d.kit.Live.Get(ctx, types.NamespacedName{Namespace: dep.Namespace, Name: view.PKISecret(dep.Name)}, &secret); err != nil {
		return nil, nil, nil, fmt.Errorf("reading the PKI of cluster %s: %w", dep.Name, err)
	}
	ca := certs.FromData(secret.Data).CA
	born := dep.CreationTimestamp.Time
	at := born.Add(d.Clock.Since(born).Truncate(renewAddonCertificates))
	pair, err := certs.Derive(ca, certs.Leaf{CommonName: commonName, Names: names, Usage: certs.Server, Validity: 2 * renewAddonCertificates}, "addon "+commonName, at)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("making the certificate of %s: %w", commonName, err)
	}
	return pair.Certificate, pair.Key, ca.Certificate, nil
}
