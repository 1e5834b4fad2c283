package plane

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	stateFile    = "state.json"
	stateVersion = 1
)

// State is what a plane remembers beside its data: who it is and where it listens.
type State struct {
	// Version is the version of this file's format.
	Version int `json:"version"`
	// ID is random and stays for ever, also through a restore.
	ID string `json:"id"`
	// Created is when the plane was first started.
	Created time.Time `json:"created"`
	// ListenHost is the address on which the API server listens; all else listens on loopback.
	ListenHost string `json:"listenHost"`
	// Ports are chosen at the first start and kept as long as they are free.
	Ports Ports `json:"ports"`
	// Restored says from what the plane was restored last.
	Restored *Restored `json:"restored,omitempty"`
}

// Ports are the TCP ports of a plane; 0 means not chosen yet.
type Ports struct {
	APIServer         int `json:"apiServer"`
	EtcdClient        int `json:"etcdClient"`
	EtcdPeer          int `json:"etcdPeer"`
	ControllerManager int `json:"controllerManager"`
}

// Restored says from what backup a plane was made.
type Restored struct {
	// Time is when the restore was done.
	Time time.Time `json:"time"`
	// BackupTime is when the backup was made; what happened between the two is not known to the plane.
	BackupTime time.Time `json:"backupTime"`
}

// ReadState reads the state of the plane in a directory; fs.ErrNotExist when there has never been one.
func ReadState(dir string) (State, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return State{}, fmt.Errorf("reading the plane's state: %w", err)
	}
	s, err := decodeState(data)
	if err != nil {
		return State{}, fmt.Errorf("reading %s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

func decodeState(data []byte) (State, error) {
	var s State
	if err := decodeStrict(data, &s); err != nil {
		return State{}, err
	}
	return s, s.validate()
}

func (s State) validate() error {
	if s.Version != stateVersion {
		return fmt.Errorf("the format has version %d, this slipway knows version %d: use the slipway that wrote it, or a newer one", s.Version, stateVersion)
	}
	if s.ID == "" {
		return errors.New("the id is missing")
	}
	if net.ParseIP(s.ListenHost) == nil {
		return fmt.Errorf("listenHost %q is not an IP address", s.ListenHost)
	}
	for _, port := range s.Ports.all() {
		if *port < 0 || *port > 65535 {
			return fmt.Errorf("port %d is not between 0 and 65535", *port)
		}
	}
	return nil
}

func (s State) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the plane's state: %w", err)
	}
	return writeFile(filepath.Join(dir, stateFile), append(data, '\n'))
}

func (p *Ports) all() []*int {
	return []*int{&p.APIServer, &p.EtcdClient, &p.EtcdPeer, &p.ControllerManager}
}

// loadState reads the state or makes that of a new plane, for the host on which to listen now.
func loadState(dir, host string) (State, error) {
	s, err := ReadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		s = State{Version: stateVersion, ID: newID(), Created: time.Now().UTC().Truncate(time.Second)}
	} else if err != nil {
		return State{}, err
	}
	s.ListenHost = host
	return s, s.validate()
}

func newID() string {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// decodeStrict decodes one JSON value and refuses unknown fields and anything after it.
func decodeStrict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decoding: there is something after the end")
	}
	return nil
}
