package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Target is the new server: one of the two.
// +kubebuilder:validation:XValidation:rule="has(self.statefulSet) != has(self.prometheus)",message="name either statefulSet or prometheus"
// +kubebuilder:validation:MinProperties=1
type Target struct {
	// kubeconfigSecretName names a Secret in the migration's namespace with a kubeconfig of the target's cluster, as key value or
	// kubeconfig. The target stands in the namespace of the same name there. Default: the cluster that the migration lives in.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	KubeconfigSecretName string `json:"kubeconfigSecretName,omitempty"`
	// statefulSet is a server that the operator writes the manifests of.
	// +optional
	StatefulSet *StatefulSetTarget `json:"statefulSet,omitempty"`
	// prometheus names a Prometheus of Prometheus Operator.
	// +optional
	Prometheus *PrometheusTarget `json:"prometheus,omitempty"`
}

// StatefulSetTarget is a server that the operator writes the manifests of.
type StatefulSetTarget struct {
	// name is that of the StatefulSet and of the users' Service.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// image has the version as its tag, unless version says it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// version is that of the server in the image, as 3.16.0.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
	// retention is a duration of Prometheus such as 180d. It may not be shorter than the source's. Default: the source's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Retention string `json:"retention,omitempty"`
	// retentionSize is a size of Prometheus such as 800GB. Default: the source's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	RetentionSize string `json:"retentionSize,omitempty"`
	// storage is the volume of the data.
	// +optional
	Storage Storage `json:"storage,omitzero"`
	// securityContext is that of the pod. Default: user 65534, restricted.
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`
	// resources are those of the server's container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// service is what users and Grafana ask.
	// +optional
	Service Service `json:"service,omitzero"`
	// configMapName is what holds the configuration. Default: name. A configuration with secrets in it becomes a Secret of this name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ConfigMapName string `json:"configMapName,omitempty"`
	// shim is the read shim. Inside a cluster the operator runs it by itself, and this stays empty.
	// +optional
	Shim Shim `json:"shim,omitzero"`
}

// PrometheusTarget names a Prometheus of Prometheus Operator.
type PrometheusTarget struct {
	// name is that of the Prometheus, in the migration's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// retention is a duration of Prometheus such as 180d. It may not be shorter than the source's. Default: the source's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Retention string `json:"retention,omitempty"`
	// serviceName is that of the users' Service, which no other Service may have. Default: name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	ServiceName string `json:"serviceName,omitempty"`
	// service is what users and Grafana ask.
	// +optional
	Service Service `json:"service,omitzero"`
	// shim is the read shim. Inside a cluster the operator runs it by itself, and this stays empty.
	// +optional
	Shim Shim `json:"shim,omitzero"`
}

// Storage is the volume of the data.
// +kubebuilder:validation:MinProperties=1
type Storage struct {
	// className is the StorageClass. Default: the cluster's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`
	// size is that of the claim. Default: what is known to be needed.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`
	// volumeName names a PersistentVolume that exists already.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	VolumeName string `json:"volumeName,omitempty"`
}

// Service is what users and Grafana ask.
// +kubebuilder:validation:MinProperties=1
type Service struct {
	// type is ClusterIP, NodePort or LoadBalancer. Default ClusterIP.
	// +optional
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type corev1.ServiceType `json:"type,omitempty"`
	// nodePort is 30000 to 32767. Default: the cluster chooses.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	NodePort int32 `json:"nodePort,omitempty"`
}

// Shim is the read shim, which answers for the time before the target's own data.
// +kubebuilder:validation:MinProperties=1
type Shim struct {
	// url is where the target reaches it. Default http://127.0.0.1:9798/api/v1/read.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`
	// image makes it a container beside the server; without one it runs elsewhere.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// args are those of the container.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Args []string `json:"args,omitempty"`
}
