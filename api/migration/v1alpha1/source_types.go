package v1alpha1

// Source is the old server.
// +kubebuilder:validation:XValidation:rule="has(self.agent) || (has(self.host) && has(self.host.sshKeySecretName))",message="name an agent that runs already (agent), or the host with a key to put one there (host.sshKeySecretName)"
type Source struct {
	// url is the address at which the target, its pods and the users' Service reach the old server. No password belongs into it.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	URL string `json:"url,omitempty"`
	// dataDir is the folder with the blocks on the old host. Default: what the server itself says.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	DataDir string `json:"dataDir,omitempty"`
	// host is the machine of the old server.
	// +optional
	Host Host `json:"host,omitzero"`
	// agent is a source agent that runs already. Without one it is put on the host over SSH.
	// +optional
	Agent *Agent `json:"agent,omitempty"`
	// config is a copy of the old server's folder of configuration: a server tells its own with every secret masked.
	// +optional
	Config *SourceConfig `json:"config,omitempty"`
}

// Host is the machine of the old server.
// +kubebuilder:validation:MinProperties=1
type Host struct {
	// address is an IP address: the users' Service leads to it until the cutover. Default: the host of url, if it is an address.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address,omitempty"`
	// port is that of SSH. Default 22.
	// +optional
	// +default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// user logs in; it must be able to read the data directory. Default root.
	// +optional
	// +default="root"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	User string `json:"user,omitempty"`
	// sshKeySecretName names a Secret of type kubernetes.io/ssh-auth.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SSHKeySecretName string `json:"sshKeySecretName,omitempty"`
	// knownHostKey is the host's public key, as a line of known_hosts has it after the names: ssh-ed25519 AAAA…
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	KnownHostKey string `json:"knownHostKey,omitempty"`
}

// Agent is a source agent that runs already, as slipway prometheus agent init and slipway-agent source make it.
type Agent struct {
	// address is host:port.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=261
	Address string `json:"address,omitempty"`
	// credentialsSecretName names a Secret with ca.crt, tls.crt and tls.key: the folder target of slipway prometheus agent init.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CredentialsSecretName string `json:"credentialsSecretName,omitempty"`
}

// SourceConfig is where a copy of the old server's configuration lies.
// +kubebuilder:validation:ExactlyOneOf=configMapName;secretName
type SourceConfig struct {
	// configMapName names a ConfigMap in the migration's namespace; its keys are files by their path below the folder, with -- for /.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ConfigMapName string `json:"configMapName,omitempty"`
	// secretName names a Secret in place of a ConfigMap, for a configuration with secrets in it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
	// key is the configuration file itself. Default prometheus.yml.
	// +optional
	// +default="prometheus.yml"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}
