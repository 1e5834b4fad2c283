package plane

import (
	"net"
	"testing"
)

func TestChoosePorts(t *testing.T) {
	s := State{ListenHost: loopback}
	moved, err := choosePorts(&s)
	if err != nil || len(moved) != 0 {
		t.Fatalf("first choice: %v, %v", moved, err)
	}
	seen := map[int]bool{}
	for _, port := range s.Ports.all() {
		if *port < firstPort || *port > lastPort || seen[*port] {
			t.Errorf("port %d is out of range or chosen twice", *port)
		}
		seen[*port] = true
	}
	before := s.Ports
	if moved, err := choosePorts(&s); err != nil || len(moved) != 0 || s.Ports != before {
		t.Errorf("free ports were not kept: %v, %v", moved, err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(loopback), Port: before.EtcdPeer})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	moved, err = choosePorts(&s)
	if err != nil || len(moved) != 1 || s.Ports.EtcdPeer == before.EtcdPeer || s.Ports.APIServer != before.APIServer {
		t.Errorf("only the port that is in use moves: %v, %v, %+v", moved, err, s.Ports)
	}
}
