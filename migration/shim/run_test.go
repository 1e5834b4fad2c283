package shim

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/transfer"
)

func TestRunSpeaksMutualTLSWhereItHasCertificates(t *testing.T) {
	folder := t.TempDir()
	if err := transfer.InitCredentials(folder, certs.New(certs.Options{})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, RunOptions{Listen: "127.0.0.1:0", Credentials: filepath.Join(folder, "source"), Ready: func(a net.Addr) { ready <- a },
			Options: Options{Source: server.Options{URL: "http://127.0.0.1:1"}, Target: server.Options{URL: "http://127.0.0.1:1"}, State: filepath.Join(folder, "state")}})
	}()
	address := (<-ready).String()
	config, err := transfer.TargetTLS(filepath.Join(folder, "target"))
	if err != nil {
		t.Fatal(err)
	}
	known := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	resp, err := known.Get("https://" + address + "/-/healthy")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: config.RootCAs, ServerName: config.ServerName}}}
	if resp, err := stranger.Get("https://" + address + "/-/healthy"); err == nil {
		resp.Body.Close()
		t.Error("a client with no certificate was let in")
	}
	known.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBeyondLoopbackCertificatesAreNeeded(t *testing.T) {
	for _, address := range []string{":9798", "0.0.0.0:9798", "192.0.2.1:9798", "[::]:9798", "localhost", "prometheus:9798"} {
		if l, err := listen(address, ""); err == nil || !strings.Contains(err.Error(), "agent init") {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
}
