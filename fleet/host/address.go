package host

import (
	"net"
	"strconv"
)

// String names the host as host:port, without anything secret. The port is 22 when unset.
func (a Address) String() string {
	port := a.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(port))
}

// pinned refuses an address whose host key, or whose bastion's, nobody has seen yet.
func (a Address) pinned() error {
	if a.HostKey == "" {
		return problem(HostKeyMissing, "the host key of %s is not pinned yet: it has to be inspected first", a)
	}
	if a.Bastion != nil && a.Bastion.HostKey == "" {
		return problem(HostKeyMissing, "the host key of the bastion %s is not pinned yet: a machine behind it has to be inspected first", a.Bastion)
	}
	return nil
}
