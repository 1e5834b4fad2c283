package certs

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

var etcd0 = []Member{{Name: "etcd-0", Names: []string{"198.18.0.5"}}}

func TestEnsureCluster(t *testing.T) {
	issuer, c := newIssuer(t)
	first, made, err := issuer.EnsureCluster(Cluster{}, etcd0)
	if err != nil || !made {
		t.Fatalf("made %v, error %v", made, err)
	}
	t.Run("keeps everything that is good, through the map form", func(t *testing.T) {
		again, made, err := issuer.EnsureCluster(FromData(first.Data()), etcd0)
		if err != nil || made {
			t.Fatalf("made %v, error %v", made, err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("changed (-first +again):\n%s", diff)
		}
	})
	t.Run("adds a member and leaves the others", func(t *testing.T) {
		more, made, err := issuer.EnsureCluster(first, []Member{{Name: "etcd-1", Names: []string{"198.18.0.6"}}})
		if err != nil || !made || len(more.EtcdMembers) != 2 {
			t.Fatalf("made %v, members %d, error %v", made, len(more.EtcdMembers), err)
		}
		if !cmp.Equal(first.EtcdMembers["etcd-0"], more.EtcdMembers["etcd-0"]) || len(first.EtcdMembers) != 1 {
			t.Error("the member that was there changed, or the argument did")
		}
	})
	t.Run("keeps everything for years", func(t *testing.T) {
		c.Time = day0.Add(9 * DefaultLeafValidity)
		defer func() { c.Time = day0 }()
		if later, made, err := issuer.EnsureCluster(first, etcd0); err != nil || made || !cmp.Equal(first, later) {
			t.Errorf("made %v, error %v", made, err)
		}
	})
	t.Run("makes anew a leaf whose machine has another address, and no authority", func(t *testing.T) {
		later, made, err := issuer.EnsureCluster(first, []Member{{Name: "etcd-0", Names: []string{"198.18.0.9"}}})
		if err != nil || !made {
			t.Fatalf("made %v, error %v", made, err)
		}
		if !cmp.Equal(first.CA, later.CA) || !cmp.Equal(first.EtcdCA, later.EtcdCA) || !cmp.Equal(first.ServiceAccount, later.ServiceAccount) {
			t.Error("an authority or the service account key changed")
		}
		if cmp.Equal(first.EtcdMembers, later.EtcdMembers) || !cmp.Equal(first.EtcdClient, later.EtcdClient) {
			t.Error("the wrong leaves were made")
		}
	})
}

func TestClusterData(t *testing.T) {
	issuer, _ := newIssuer(t)
	c, _, err := issuer.EnsureCluster(Cluster{}, etcd0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"apiserver-etcd-client.crt", "apiserver-etcd-client.key", "ca.crt", "ca.key", "etcd-ca.crt", "etcd-ca.key",
		"etcd-peer-etcd-0.crt", "etcd-peer-etcd-0.key", "etcd-server-etcd-0.crt", "etcd-server-etcd-0.key",
		"front-proxy-ca.crt", "front-proxy-ca.key", "sa.key", "sa.pub",
	}
	if diff := cmp.Diff(want, sortedKeys(c.Data())); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestAdminKubeconfig(t *testing.T) {
	issuer, c := newIssuer(t)
	pki, _, err := issuer.EnsureCluster(Cluster{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, made, err := issuer.AdminKubeconfig(pki, "shop", "https://api.shop.example:6443", nil)
	if err != nil || !made {
		t.Fatalf("made %v, error %v", made, err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(first)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://api.shop.example:6443" || !bytes.Equal(config.CAData, pki.CA.Certificate) || len(config.KeyData) == 0 {
		t.Errorf("client-go reads host %q", config.Host)
	}
	info := must[Info](t)(Read(config.CertData))
	if diff := cmp.Diff([]string{"system:masters"}, info.Organizations); diff != "" {
		t.Errorf("organizations: %s", diff)
	}
	again, made, err := issuer.AdminKubeconfig(pki, "shop", "https://api.shop.example:6443", first)
	if err != nil || made || !bytes.Equal(first, again) {
		t.Errorf("a good kubeconfig was not kept: made %v, error %v", made, err)
	}
	c.Time = day0.Add(DefaultLeafValidity)
	if _, made, err = issuer.AdminKubeconfig(pki, "shop", "https://api.shop.example:6443", first); err != nil || !made {
		t.Errorf("an ended kubeconfig was kept: made %v, error %v", made, err)
	}
}
