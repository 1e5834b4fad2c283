package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// SettingsDigest is the digest (sha256:…) of all settings that are written onto nodes when they are built: those of the
// components, of the container runtime and of the operating system. The order of keys does not matter.
func SettingsDigest(spec v1alpha1.ClusterDeploymentSpec) string {
	text, err := json.Marshal(struct {
		Components *v1alpha1.ComponentConfigs
		Runtime    *v1alpha1.ContainerRuntime
		OS         *v1alpha1.OperatingSystem
	}{spec.Kubernetes.ComponentConfigs, spec.ContainerRuntime, spec.OS})
	if err != nil {
		text = nil // a raw part that is no JSON: the API server does not let it in
	}
	var sorted any
	if json.Unmarshal(text, &sorted) == nil {
		if again, err := json.Marshal(sorted); err == nil {
			text = again
		}
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}
