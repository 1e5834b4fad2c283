package plane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/client-go/rest"
)

const (
	etcdDir  = "etcd"
	etcdName = "slipway"
	logDir   = "logs"
	// startTimeout is for one program; slow disks and cold caches are why it is long.
	startTimeout = 2 * time.Minute
	// portAttempts is how often other ports are tried when one was taken between looking and starting.
	portAttempts = 5
)

// Options say where and from what a plane is run.
type Options struct {
	// Dir holds everything; it is made with mode 0700. Required.
	Dir string
	// Binaries gives the path of etcd, kube-apiserver, kube-controller-manager and etcdutl. Required.
	Binaries func(ctx context.Context, name string) (string, error)
	// ListenHost is the IP address of the API server; empty means 127.0.0.1. All else is always on loopback.
	ListenHost string
	// CRDs holds YAML files of custom resource definitions that are installed; nil installs none.
	CRDs fs.FS
	// Progress is told in a user's words what happens, also after Start; it may be called from several goroutines.
	Progress func(message string)
	// Volatile lets etcd not wait for the disk: for tests whose data need not survive a power cut.
	Volatile bool
}

// Plane is a running management plane.
type Plane struct {
	options  Options
	state    State
	pki      *pki
	lock     *lock
	register *register
	children []*child // in the order in which they started
	renewal  chan struct{}
	renewed  chan struct{}
}

// Start runs the plane of a directory and returns when its API is ready and the CRDs are established. The context
// bounds the start only: the plane runs until Stop, or until this process dies. ErrLocked when it runs already.
func Start(ctx context.Context, o Options) (*Plane, error) {
	p, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		err = p.startAll(ctx)
		var exit *exitError
		if err == nil || attempt == portAttempts || !errors.As(err, &exit) || !exit.portTaken() {
			break
		}
		if stop := p.stopChildren(ctx); stop != nil {
			err = errors.Join(err, stop)
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	p.renew()
	return p, nil
}

// open takes the lock of a directory, ends what a dead supervisor left, and makes the files that are missing.
func open(ctx context.Context, o Options) (*Plane, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.ListenHost == "" {
		o.ListenHost = loopback
	}
	if o.Dir == "" || o.Binaries == nil {
		return nil, errors.New("starting the plane: its directory and binaries must be given")
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("finding the plane's directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, logDir), dirMode); err != nil {
		return nil, fmt.Errorf("making the plane's directory: %w", err)
	}
	p := &Plane{options: o}
	if p.lock, err = takeLock(o.Dir); err != nil {
		return nil, err
	}
	if err := p.prepare(ctx); err != nil {
		p.lock.release()
		return nil, err
	}
	return p, nil
}

func (p *Plane) prepare(ctx context.Context) error {
	dir := p.options.Dir
	var err error
	if p.register, err = openRegister(dir); err != nil {
		return err
	}
	ended, err := p.register.clean(ctx)
	if err != nil {
		return err
	}
	if len(ended) > 0 {
		p.options.Progress("Ended what an earlier slipway left: " + strings.Join(ended, ", "))
	}
	data, err := exists(filepath.Join(dir, etcdDir))
	if err != nil {
		return fmt.Errorf("looking for etcd's data: %w", err)
	}
	if p.state, err = loadState(dir, p.options.ListenHost); err != nil {
		return err
	}
	p.pki = newPKI(dir, !data)
	if err := p.pki.ensure(p.options.ListenHost); err != nil {
		return err
	}
	return ensureEncryption(dir, !data)
}

// settle picks the ports and writes what depends on them.
func (p *Plane) settle() error {
	moved, err := choosePorts(&p.state)
	if err != nil {
		return err
	}
	for _, message := range moved {
		p.options.Progress(message)
	}
	if err := p.state.write(p.options.Dir); err != nil {
		return err
	}
	return p.pki.writeKubeconfigs(p.options.Dir, p.state)
}

func (p *Plane) startAll(ctx context.Context) error {
	if err := p.settle(); err != nil {
		return err
	}
	for _, name := range []string{Etcd, APIServer} {
		if err := p.startChild(ctx, name); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.startChild(ctx, ControllerManager) })
	if p.options.CRDs != nil {
		group.Go(func() error { return InstallCRDs(ctx, p.Config(), p.options.CRDs) })
	}
	return group.Wait()
}

// startChild starts one program and waits until it serves.
func (p *Plane) startChild(ctx context.Context, name string) error {
	path, err := p.options.Binaries(ctx, name)
	if err != nil {
		return fmt.Errorf("finding %s: %w", name, err)
	}
	p.options.Progress("Starting " + name)
	c := p.newChild(name, path)
	c.start()
	p.children = append(p.children, c)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.waitReady(ctx)
}

func (p *Plane) newChild(name, path string) *child {
	f := flags{dir: p.options.Dir, state: p.state, pki: p.pki, volatile: p.options.Volatile}
	c := &child{
		name: name, path: path, register: p.register, progress: p.options.Progress,
		log: &lumberjack.Logger{Filename: filepath.Join(p.options.Dir, logDir, name+".log"), MaxSize: 20, MaxBackups: 2},
	}
	c.ready = p.readiness(name)
	switch name {
	case Etcd:
		c.args = f.etcd()
	case APIServer:
		c.args = f.apiServer()
	case ControllerManager:
		c.args = f.controllerManager()
	}
	return c
}

// readiness is the check that says whether a program serves.
func (p *Plane) readiness(name string) func(ctx context.Context) error {
	switch name {
	case Etcd:
		return p.pki.probe(fmt.Sprintf("https://%s:%d/readyz", loopback, p.state.Ports.EtcdClient), etcdAuthority, "apiserver-etcd-client")
	case APIServer:
		return p.pki.probe(p.state.url()+"/readyz", apiAuthority, "admin")
	default:
		return p.pki.probe(fmt.Sprintf("https://%s:%d/healthz", loopback, p.state.Ports.ControllerManager), apiAuthority, "admin")
	}
}

// renew looks once a day whether certificates end soon and makes them anew; the programs read the files again.
func (p *Plane) renew() {
	p.renewal, p.renewed = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.renewed)
		ticker := time.NewTicker(24 * time.Hour)
		defer ticker.Stop()
		for {
			select {
			case <-p.renewal:
				return
			case <-ticker.C:
				err := errors.Join(p.pki.ensure(p.options.ListenHost), p.pki.writeKubeconfigs(p.options.Dir, p.state))
				if err != nil {
					p.options.Progress(fmt.Sprintf("Renewing certificates: %v", err))
				}
			}
		}
	}()
}

// Stop ends the programs in order and lets go of the directory. A program that does not end in time is killed, which
// is safe and said in the error. The plane cannot be used afterwards; Start makes a new one of the same directory.
func (p *Plane) Stop(ctx context.Context) error {
	if p.renewal != nil {
		close(p.renewal)
		<-p.renewed
		p.renewal = nil
	}
	err := p.stopChildren(ctx)
	p.lock.release()
	p.lock = nil
	return err
}

func (p *Plane) stopChildren(ctx context.Context) error {
	var all []error
	for len(p.children) > 0 {
		last := p.children[len(p.children)-1]
		p.children = p.children[:len(p.children)-1]
		all = append(all, last.terminate(ctx))
	}
	return errors.Join(all...)
}

// Config is how the operator talks to the API: as an administrator, with no limit on the client's side. Its
// certificate is read from a file, so that it can be renewed while the plane runs.
func (p *Plane) Config() *rest.Config {
	return &rest.Config{
		Host:            p.state.url(),
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: p.pki.cert(apiAuthority), CertFile: p.pki.cert("operator"), KeyFile: p.pki.key("operator")},
	}
}

// Kubeconfig is the path of the administrator's kubeconfig (mode 0600).
func (p *Plane) Kubeconfig() string { return filepath.Join(p.options.Dir, kubeconfigFile) }

// State is what the plane remembers: its id and ports.
func (p *Plane) State() State { return p.state }
