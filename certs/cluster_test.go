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
	ensure := func(t *testing.T, have Cluster, members []Member) (Cluster, bool) {
		t.Helper()
		out, made, err := issuer.EnsureCluster(have, members)
		if err != nil {
			t.Fatal(err)
		}
		return out, made
	}
	first, made := ensure(t, Cluster{}, etcd0)
	if !made {
		t.Error("the first is not said to be made")
	}
	t.Run("keeps everything that is good, through the map form", func(t *testing.T) {
		again, made := ensure(t, FromData(first.Data()), etcd0)
		if diff := cmp.Diff(first, again); made || diff != "" {
			t.Errorf("made %v, changed (-first +again):\n%s", made, diff)
		}
	})
	t.Run("adds a member and leaves the others", func(t *testing.T) {
		more, made := ensure(t, first, []Member{{Name: "etcd-1", Names: []string{"198.18.0.6"}}})
		if !made || len(more.EtcdMembers) != 2 || len(first.EtcdMembers) != 1 {
			t.Errorf("made %v, members %d, in the argument %d", made, len(more.EtcdMembers), len(first.EtcdMembers))
		}
		if !cmp.Equal(first.EtcdMembers["etcd-0"], more.EtcdMembers["etcd-0"]) {
			t.Error("the member that was there changed")
		}
	})
	t.Run("keeps everything for years", func(t *testing.T) {
		c.Time = day0.Add(9 * DefaultLeafValidity)
		defer func() { c.Time = day0 }()
		if later, made := ensure(t, first, etcd0); made || !cmp.Equal(first, later) {
			t.Errorf("made %v, or changed", made)
		}
	})
	t.Run("makes anew a leaf whose machine has another address, and no authority", func(t *testing.T) {
		later, _ := ensure(t, first, []Member{{Name: "etcd-0", Names: []string{"198.18.0.9"}}})
		if cmp.Equal(first.EtcdMembers, later.EtcdMembers) {
			t.Error("the leaf was kept")
		}
		later.EtcdMembers = first.EtcdMembers
		if diff := cmp.Diff(first, later); diff != "" {
			t.Errorf("something else changed (-first +later):\n%s", diff)
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
	render := func(existing []byte) ([]byte, bool) {
		t.Helper()
		out, made, err := issuer.AdminKubeconfig(pki, "shop", "https://api.shop.example:6443", existing)
		if err != nil {
			t.Fatal(err)
		}
		return out, made
	}
	first, made := render(nil)
	if !made {
		t.Error("the first is not said to be made")
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
	if again, made := render(first); made || !bytes.Equal(first, again) {
		t.Error("a good kubeconfig was not kept")
	}
	c.Time = day0.Add(DefaultLeafValidity)
	if _, made := render(first); !made {
		t.Error("an ended kubeconfig was kept")
	}
}
