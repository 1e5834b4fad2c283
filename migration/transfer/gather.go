package transfer

import "net"

const (
	// fullRecord is the largest record of TLS 1.3 as Go writes it: head, 16 KiB, their kind, the seal. Each one is a write.
	fullRecord = 5 + 16<<10 + 1 + 16
	// gathered is how much goes to the kernel at once.
	gathered = 256 << 10
)

// gatherListener makes connections that give the kernel many full records of TLS in one call.
type gatherListener struct{ net.Listener }

// Accept waits for the next connection.
func (l gatherListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatherConn{Conn: conn}, nil
}

// gatherConn lies below TLS and holds full records until one comes that is not full, or there are enough. No answer waits
// for good: each ends in a short record, the end of its chunked body. TLS calls Write by one goroutine at a time.
type gatherConn struct {
	net.Conn
	held []byte
}

// Write takes one record.
func (c *gatherConn) Write(record []byte) (int, error) {
	if len(record) == fullRecord && len(c.held)+len(record) <= gathered {
		if c.held == nil {
			c.held = make([]byte, 0, gathered+fullRecord)
		}
		c.held = append(c.held, record...)
		return len(record), nil
	}
	if len(c.held) == 0 {
		return c.Conn.Write(record)
	}
	c.held = append(c.held, record...)
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	if err != nil {
		return 0, err
	}
	return len(record), nil
}
