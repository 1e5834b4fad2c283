package certs

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// Kubeconfig is a kubeconfig with one cluster, one user and one context.
type Kubeconfig struct {
	// Cluster and User are names; the context is <user>@<cluster>.
	Cluster string
	User    string
	// Server is the URL of the API server.
	Server string
	// CA is the authority of the server in PEM.
	CA []byte
	// Client is the user's certificate; or Token is set; or neither (discovery).
	Client Pair
	Token  string
	// TLSServerName is the name that the server's certificate must have where it is not that of Server.
	TLSServerName string
}

// The wire form of clientcmd v1, as far as it is used here. []byte becomes base64, as clientcmd wants it.
type kubeconfigFile struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
	Users          []namedUser    `json:"users"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server        string `json:"server"`
		CA            []byte `json:"certificate-authority-data"`
		TLSServerName string `json:"tls-server-name,omitempty"`
	} `json:"cluster"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Certificate []byte `json:"client-certificate-data,omitempty"`
		Key         []byte `json:"client-key-data,omitempty"`
		Token       string `json:"token,omitempty"`
	} `json:"user"`
}

// Encode writes the kubeconfig in YAML; the same input gives the same bytes.
func (k Kubeconfig) Encode() ([]byte, error) {
	if k.Cluster == "" || k.User == "" || k.Server == "" || len(k.CA) == 0 {
		return nil, fmt.Errorf("encoding kubeconfig of cluster %q: cluster, user, server and authority must be given", k.Cluster)
	}
	var cluster namedCluster
	cluster.Name = k.Cluster
	cluster.Cluster.Server, cluster.Cluster.CA, cluster.Cluster.TLSServerName = k.Server, k.CA, k.TLSServerName
	var user namedUser
	user.Name = k.User
	user.User.Certificate, user.User.Key, user.User.Token = k.Client.Certificate, k.Client.Key, k.Token
	var context namedContext
	context.Name = k.User + "@" + k.Cluster
	context.Context.Cluster, context.Context.User = k.Cluster, k.User
	data, err := yaml.Marshal(kubeconfigFile{
		APIVersion: "v1", Kind: "Config",
		Clusters: []namedCluster{cluster}, Contexts: []namedContext{context}, Users: []namedUser{user},
		CurrentContext: context.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding kubeconfig of cluster %q: %w", k.Cluster, err)
	}
	return data, nil
}

// clientOf finds the client certificate of a kubeconfig that Encode wrote; an empty Pair where there is none.
func clientOf(kubeconfig []byte) Pair {
	var file kubeconfigFile
	if err := yaml.Unmarshal(kubeconfig, &file); err != nil || len(file.Users) != 1 {
		return Pair{}
	}
	user := file.Users[0].User
	return Pair{Certificate: user.Certificate, Key: user.Key}
}
