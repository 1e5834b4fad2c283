package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// GrafanaTarget is a Grafana beside the target: one that the operator writes the manifests of.
type GrafanaTarget struct {
	// name is that of the Deployment and of the Service. Default grafana.
	// +optional
	// +default="grafana"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// image is that of the server. Its version may not be older than that of the one whose data it gets.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// from is the old Grafana, whose data is brought along. Unset: the new one begins empty, with a data source for the users' Service.
	// +optional
	From *GrafanaOrigin `json:"from,omitempty"`
	// settingsSecretName names a Secret whose keys are environment variables of Grafana, such as GF_SECURITY_SECRET_KEY,
	// GF_SECURITY_ADMIN_PASSWORD and GF_SERVER_ROOT_URL: what the old one has in grafana.ini.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SettingsSecretName string `json:"settingsSecretName,omitempty"`
	// storage is the volume of its data. Its size is 10Gi by default.
	// +optional
	Storage Storage `json:"storage,omitzero"`
	// service is where people reach it.
	// +optional
	Service Service `json:"service,omitzero"`
	// securityContext is that of the pod. Default: user and group 472, as the image has it.
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`
	// resources are those of the server's container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
}

// GrafanaOrigin is the old Grafana. It runs on source.host with a SQLite database, and goes on untouched.
type GrafanaOrigin struct {
	// url is its address as the pods reach it.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	URL string `json:"url,omitempty"`
	// apiSecretName names a Secret that lets in at the API of both: username and password of a server administrator, who sees every
	// organisation, or token, a service account token of an organisation's administrator, who sees one.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	APISecretName string `json:"apiSecretName,omitempty"`
	// dataDir is the folder with grafana.db on source.host. The new one has it at the same path.
	// +optional
	// +default="/var/lib/grafana"
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/[A-Za-z0-9/._-]+$`
	DataDir string `json:"dataDir,omitempty"`
	// provisioningDir is the folder of its provisioning on source.host. The new one has it at the same path.
	// +optional
	// +default="/etc/grafana/provisioning"
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/[A-Za-z0-9/._-]+$`
	ProvisioningDir string `json:"provisioningDir,omitempty"`
}
