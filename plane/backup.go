package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// snapshotName is the snapshot of etcd in a backup.
const snapshotName = "etcd/snapshot.db"

// kept are the files of the plane's directory without which its data is worth nothing.
var kept = []string{stateFile, encryptionFile, pkiDir}

// BackupOptions say what is backed up and where to.
type BackupOptions struct {
	// Options name the plane's directory and, for when it does not run, the binaries.
	Options
	// File is written with mode 0600; it must not exist. It holds every secret of the plane.
	File string
	// Extra names directories that go into the backup too, by a name of their own.
	Extra map[string]string
	// Slipway is the version of this program.
	Slipway string
}

// Backup writes one checksummed archive with a consistent snapshot of etcd, the certificates and the encryption key. It
// works beside a running plane; when the plane is stopped it runs etcd alone for as long as it takes.
func Backup(ctx context.Context, o BackupOptions) (Manifest, error) {
	if found, err := exists(o.File); err != nil || found {
		return Manifest{}, errors.Join(err, fmt.Errorf("writing the backup: %s exists already: choose another name", o.File))
	}
	state, stop, err := reachEtcd(ctx, o.Options)
	if err != nil {
		return Manifest{}, err
	}
	defer stop()
	snapshot, err := os.CreateTemp(filepath.Dir(o.File), ".snapshot-*") // has mode 0600
	if err != nil {
		return Manifest{}, fmt.Errorf("writing the snapshot: %w", err)
	}
	defer os.Remove(snapshot.Name())
	m := Manifest{Version: archiveVersion, ID: state.ID, Created: time.Now().UTC().Truncate(time.Second), Slipway: o.Slipway}
	m.Etcd, err = saveSnapshot(ctx, newPKI(o.Dir, false), state, snapshot)
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return Manifest{}, err
	}
	sources, err := o.sources(snapshot.Name())
	if err != nil {
		return Manifest{}, err
	}
	if err := writeArchive(o.File, m, sources); err != nil {
		return Manifest{}, err
	}
	return Verify(o.File)
}

func (o BackupOptions) sources(snapshot string) ([]source, error) {
	out := []source{{snapshotName, snapshot}}
	for _, name := range kept {
		found, err := sourcesBelow("plane/"+name, filepath.Join(o.Dir, name))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Extra)) {
		found, err := sourcesBelow("extra/"+name, o.Extra[name])
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// reachEtcd finds the etcd of the running plane, or runs it until stop is called.
func reachEtcd(ctx context.Context, o Options) (state State, stop func(), err error) {
	if state, err = ReadState(o.Dir); err != nil {
		return State{}, nil, fmt.Errorf("looking for a plane in %s: %w", o.Dir, err)
	}
	o.ListenHost = state.ListenHost
	p, err := open(ctx, o)
	if errors.Is(err, ErrLocked) {
		return state, func() {}, nil
	}
	if err != nil {
		return State{}, nil, err
	}
	stop = func() { _ = p.Stop(context.WithoutCancel(ctx)) }
	if err = p.settle(); err == nil {
		err = p.startChild(ctx, Etcd)
	}
	if err != nil {
		stop()
		return State{}, nil, err
	}
	return p.state, stop, nil
}

// saveSnapshot copies a snapshot of a running etcd, checksum at its end, and returns the version of etcd.
func saveSnapshot(ctx context.Context, p *pki, state State, to io.Writer) (string, error) {
	config, err := p.clientTLS(etcdAuthority, "apiserver-etcd-client")
	if err != nil {
		return "", err
	}
	endpoint := fmt.Sprintf("https://%s:%d", loopback, state.Ports.EtcdClient)
	client, err := clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: []string{endpoint}, TLS: config, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return "", fmt.Errorf("connecting to etcd: %w", err)
	}
	defer func() { _ = client.Close() }()
	status, err := statusWithin(ctx, client, endpoint)
	if err != nil {
		return "", err
	}
	response, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return "", fmt.Errorf("taking a snapshot of etcd: %w", err)
	}
	defer response.Snapshot.Close()
	if _, err := io.Copy(to, response.Snapshot); err != nil {
		return "", fmt.Errorf("taking a snapshot of etcd: %w", err)
	}
	return status.Version, nil
}

// statusWithin asks etcd who it is, and gives up early: a plane that just starts answers within seconds.
func statusWithin(ctx context.Context, client *clientv3.Client, endpoint string) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return nil, fmt.Errorf("asking etcd at %s for its version: %w", endpoint, err)
	}
	return status, nil
}
