package plane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are picked below those that the kernel gives to outgoing connections (32768 and up) and below the NodePorts
// (30000 and up), so that a port that was remembered is most likely still free after a restart.
const (
	firstPort = 20000
	lastPort  = 29999
)

var errNoPort = errors.New("no free port between 20000 and 29999")

// choosePorts keeps the ports that are free and picks others for those that are not. It returns what it changed.
func choosePorts(s *State) ([]string, error) {
	var moved []string
	taken := map[int]bool{}
	for i, port := range s.Ports.all() {
		host := loopback
		if i == 0 {
			host = s.ListenHost
		}
		if *port != 0 && !taken[*port] && portFree(host, *port) {
			taken[*port] = true
			continue
		}
		picked, err := pickPort(host, taken)
		if err != nil {
			return nil, err
		}
		if *port != 0 {
			moved = append(moved, fmt.Sprintf("port %d is in use by something else, taking %d", *port, picked))
		}
		*port, taken[picked] = picked, true
	}
	return moved, nil
}

func pickPort(host string, taken map[int]bool) (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if !taken[port] && portFree(host, port) {
			return port, nil
		}
	}
	return 0, errNoPort
}

func portFree(host string, port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}
