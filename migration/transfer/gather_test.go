package transfer

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writes is a connection that notes the size of each write.
type writes struct {
	net.Conn
	sizes []int
	data  bytes.Buffer
	err   error
}

func (w *writes) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.sizes = append(w.sizes, len(p))
	return w.data.Write(p)
}

func TestGatherConn(t *testing.T) {
	full, most := fullRecord, gathered/fullRecord
	many := make([]int, most+1)
	for i := range many {
		many[i] = full
	}
	for name, c := range map[string]struct{ records, want []int }{
		"passes a short record on at once":              {[]int{10, 20}, []int{10, 20}},
		"holds full records until a short one comes":    {[]int{full, full, 30}, []int{2*full + 30}},
		"holds no more than is worth it":                {many, []int{gathered/fullRecord*fullRecord + full}},
		"begins again behind what was sent":             {[]int{full, 5, full, full, 6}, []int{full + 5, 2*full + 6}},
		"passes a record on that is larger than a full": {[]int{full + 1}, []int{full + 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inner := &writes{}
			conn := &gatherConn{Conn: inner}
			var want []byte
			for i, n := range c.records {
				record := bytes.Repeat([]byte{byte(i + 1)}, n)
				want = append(want, record...)
				if got, err := conn.Write(record); got != n || err != nil {
					t.Fatalf("record %d: %d, %v", i, got, err)
				}
			}
			if diff := cmp.Diff(c.want, inner.sizes); diff != "" || !bytes.Equal(inner.data.Bytes(), want) {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("tells that the connection broke at the next record that goes out", func(t *testing.T) {
		broken := errors.New("broken")
		conn := &gatherConn{Conn: &writes{err: broken}}
		if _, err := conn.Write(make([]byte, fullRecord)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}
