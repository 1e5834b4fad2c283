package remote

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// downAfter is how many probes in a row have to fail before a cluster that answered is taken for unreachable.
const downAfter = 2

// eagerness is how long a cluster that does not answer is asked more often: while it is installed or restarted.
const eagerness = 5 * time.Minute

// connection is one open connection.
type connection struct {
	options   *RealOptions
	key, uid  string
	digest    [32]byte
	dialer    *dialer
	transport *http.Transport
	client    kubernetes.Interface
	dynamic   dynamic.Interface
	cancel    context.CancelFunc
	// hurry asks for a probe now: a call has just failed.
	hurry chan struct{}

	mutex sync.Mutex
	nodes *nodeWatch // nil while the API server does not answer
}

func newConnection(options *RealOptions, target Target, digest [32]byte) (*connection, error) {
	config, err := clientConfig(target.Kubeconfig)
	if err != nil {
		return nil, err
	}
	c := &connection{
		options: options, key: target.Key, uid: target.UID, digest: digest,
		dialer: &dialer{}, hurry: make(chan struct{}, 1),
	}
	c.dialer.set(target.Addresses)
	client, transport, err := httpClient(config, c.dialer)
	if err != nil {
		return nil, err
	}
	c.transport = transport
	typed := rest.CopyConfig(config)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if c.client, err = kubernetes.NewForConfigAndClient(typed, client); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// run probes until the context ends, and watches Nodes while the API server answers.
func (c *connection) run(ctx context.Context) {
	var watching sync.WaitGroup
	defer func() {
		c.watch(nil)
		watching.Wait()
		c.transport.CloseIdleConnections()
	}()
	failures, since := 0, time.Now()
	for {
		if err := c.probe(ctx); err != nil {
			failures++
			if failures == downAfter {
				since = time.Now()
				c.down()
			}
		} else {
			failures = 0
			c.up(ctx, &watching)
		}
		interval := c.options.ProbeInterval
		if failures > 0 && (failures <= downAfter || time.Since(since) < eagerness) {
			interval = c.options.DownInterval
		}
		timer := time.NewTimer(wait.Jitter(interval, 0.2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.hurry:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// probe asks for readiness; an answer of any kind but a failing one is a sign of life.
func (c *connection) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(c.options.CallTimeout, c.options.ProbeInterval))
	defer cancel()
	code := 0
	err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).StatusCode(&code).Error()
	if err != nil && (code == 0 || code >= http.StatusInternalServerError) {
		return err
	}
	return nil
}

// watch sets the watch and gives the one before.
func (c *connection) watch(next *nodeWatch) *nodeWatch {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	old := c.nodes
	c.nodes = next
	return old
}

func (c *connection) up(ctx context.Context, watching *sync.WaitGroup) {
	c.mutex.Lock()
	known := c.nodes != nil
	c.mutex.Unlock()
	if known || ctx.Err() != nil {
		return
	}
	w := newNodeWatch(c.client, func() { c.options.OnChange(c.key) })
	c.watch(w)
	watching.Go(func() { w.run(ctx) })
	c.options.OnChange(c.key)
}

func (c *connection) down() {
	// Connections that were cut without a word are not to be used again.
	c.transport.CloseIdleConnections()
	if w := c.watch(nil); w != nil {
		w.stop()
		c.options.OnChange(c.key)
	}
}

// begin limits a call.
func (c *connection) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.options.CallTimeout)
}

// explain classifies the error of a call.
func (c *connection) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	if unreachable(err) {
		select {
		case c.hurry <- struct{}{}:
		default:
		}
		return fmt.Errorf("%s in cluster %s: %w: %w", doing, c.key, ErrUnreachable, err)
	}
	return fmt.Errorf("%s in cluster %s: %w", doing, c.key, err)
}

// unreachable tells an API server that does not answer from one that says no, or is another's.
func unreachable(err error) bool {
	var certificate *tls.CertificateVerificationError
	var status apierrors.APIStatus
	var transport *url.Error
	var network net.Error
	switch {
	case errors.As(err, &certificate):
		return false
	case errors.As(err, &status):
		return apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || status.Status().Code == http.StatusBadGateway
	case errors.As(err, &transport), errors.As(err, &network):
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Version asks the API server for its version.
func (c *connection) Version(ctx context.Context) (string, error) {
	ctx, cancel := c.begin(ctx)
	defer cancel()
	raw, err := c.client.Discovery().RESTClient().Get().AbsPath("/version").MaxRetries(0).Do(ctx).Raw()
	if err != nil {
		return "", c.explain("reading the version", err)
	}
	var info version.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", fmt.Errorf("reading the version in cluster %s: %w", c.key, err)
	}
	return info.GitVersion, nil
}

// Nodes gives what the watch has seen.
func (c *connection) Nodes(context.Context) (map[string]Node, error) {
	c.mutex.Lock()
	w := c.nodes
	c.mutex.Unlock()
	if w == nil || !w.synced() {
		return nil, fmt.Errorf("listing nodes in cluster %s: %w", c.key, ErrUnreachable)
	}
	return w.list(), nil
}
