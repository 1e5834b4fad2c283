package transfer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
)

// maxAnswer bounds an answer that is no data: the sums of a block of a terabyte are some 10 MB.
const maxAnswer = 64 << 20

// silence is how long a source may send nothing while an answer is awaited. It sends a sign of life when it scrubs; a
// throttle at its floor gives a MiB a second.
const silence = time.Minute

// ClientOptions say where a Server is.
type ClientOptions struct {
	// Address is host:port, or unix:PATH for a socket that SSH forwards.
	Address string
	// TLS is needed for host:port and not taken for a socket.
	TLS *tls.Config
	// Dial connects in place of Address, by a way that says itself who may use it; nil: Address.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Client is a Server's other end.
type Client struct {
	base string
	http *http.Client
}

// NewClient makes a Client; it connects when it is asked something.
func NewClient(o ClientOptions) (*Client, error) {
	transport := &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ReadBufferSize: 64 << 10,
		TLSHandshakeTimeout: 15 * time.Second, ExpectContinueTimeout: time.Second,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}
	c := &Client{http: &http.Client{Transport: transport}}
	network, address := "tcp", o.Address
	if path, ok := strings.CutPrefix(o.Address, "unix:"); ok || o.Dial != nil {
		network, address, c.base = "unix", path, "http://source"
	} else {
		if o.TLS == nil {
			return nil, fmt.Errorf("connecting to %s: there are no certificates: make them with slipway prometheus agent init", o.Address)
		}
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			return nil, fmt.Errorf("reading the source's address: %w", err)
		}
		transport.TLSClientConfig, c.base = o.TLS, "https://"+o.Address
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dial := o.Dial
		if dial == nil {
			dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, network, address) }
		}
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return newQuietConn(conn), nil
	}
	return c, nil
}

// quietConn ends when nothing arrives for a while, also in the middle of an answer. It takes what there is at once: TLS
// alone asks the kernel for 16 KiB at a time.
type quietConn struct {
	net.Conn
	in *bufio.Reader
}

func newQuietConn(conn net.Conn) *quietConn {
	return &quietConn{conn, bufio.NewReaderSize(readerFunc(func(p []byte) (int, error) {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return 0, err
		}
		return conn.Read(p)
	}), 256<<10)}
}

// Read gives what has arrived.
func (c *quietConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// readerFunc is a function as a reader.
type readerFunc func(p []byte) (int, error)

// Read calls the function.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Blocks asks for the listing. Its names reach disks and terminals, so they must be those of blocks.
func (c *Client) Blocks(ctx context.Context) (*block.Listing, error) {
	return c.list(ctx, "/v1/blocks")
}

// Pinned asks for the listing of the pin.
func (c *Client) Pinned(ctx context.Context) (*block.Listing, error) { return c.list(ctx, "/v1/pin") }

func (c *Client) list(ctx context.Context, path string) (*block.Listing, error) {
	var l block.Listing
	if err := c.ask(ctx, http.MethodGet, path, nil, &l); err != nil {
		return nil, err
	}
	for i := range l.Blocks {
		e := &l.Blocks[i]
		if checkName(e.Name) != nil || e.Meta == nil && e.Verdict == block.OK || e.Meta != nil && e.Verdict == block.OK && !strings.EqualFold(e.Meta.ULID.String(), e.Name) || e.Bytes < 0 {
			return nil, fmt.Errorf("reading the source's listing: %.40q is no block", e.Name)
		}
		e.Verdict = block.Verdict(oneLine(string(e.Verdict)))
		if e.Damage != nil {
			e.Damage.File, e.Damage.What = oneLine(e.Damage.File), oneLine(e.Damage.What)
		}
	}
	return &l, nil
}

// Pin asks to pin blocks.
func (c *Client) Pin(ctx context.Context, names []string) error {
	_, err := c.work(ctx, http.MethodPut, "/v1/pin", pinRequest{names})
	return err
}

// Unpin asks to let go of all blocks.
func (c *Client) Unpin(ctx context.Context) error {
	return c.ask(ctx, http.MethodDelete, "/v1/pin", nil, nil)
}

// Files asks for the files of a block.
func (c *Client) Files(ctx context.Context, name string) ([]block.FileInfo, error) {
	var files []block.FileInfo
	if err := c.ask(ctx, http.MethodGet, "/v1/blocks/"+url.PathEscape(name)+"/files", nil, &files); err != nil {
		return nil, err
	}
	return files, nil
}

// Status asks how it goes.
func (c *Client) Status(ctx context.Context) (*SourceStatus, error) {
	var s SourceStatus
	return &s, c.ask(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Scrub asks for a verdict and sums.
func (c *Client) Scrub(ctx context.Context, name string, pieceBytes int64) (*block.Report, error) {
	path := "/v1/blocks/" + url.PathEscape(name) + "/scrub?piece=" + strconv.FormatInt(pieceBytes, 10)
	report, err := c.work(ctx, http.MethodGet, path, nil)
	if err == nil && report == nil {
		err = errors.New("scrubbing on the source: the answer is empty")
	}
	return report, err
}

// work asks for what takes long.
func (c *Client) work(ctx context.Context, method, path string, in any) (*block.Report, error) {
	var a workAnswer
	if err := c.ask(ctx, method, path, in, &a); err != nil {
		return nil, err
	}
	if a.Refusal != nil {
		return nil, &RefusedError{a.Refusal.Code, oneLine(a.Refusal.Message)}
	}
	return a.Report, nil
}

// Read takes a range. What was written before an error is not to be used.
func (c *Client) Read(ctx context.Context, r Range, to io.Writer) (block.Sum, error) {
	q := url.Values{"file": {r.File}, "offset": {strconv.FormatInt(r.Offset, 10)}, "bytes": {strconv.FormatInt(r.Bytes, 10)}}
	resp, err := c.do(ctx, http.MethodGet, "/v1/blocks/"+url.PathEscape(r.Block)+"/bytes?"+q.Encode(), nil)
	if err != nil {
		return block.Sum{}, err
	}
	defer resp.Body.Close()
	n, err := copyPieces(to, io.LimitReader(resp.Body, r.Bytes+1))
	if err != nil {
		return block.Sum{}, fmt.Errorf("receiving %s: %w", r, err)
	}
	if said := resp.Trailer.Get(errorTrailer); said != "" {
		code, message, _ := strings.Cut(said, " ")
		return block.Sum{}, &RefusedError{Code(code), message}
	}
	if n != r.Bytes {
		return block.Sum{}, fmt.Errorf("receiving %s: %d bytes came: %w", r, n, io.ErrUnexpectedEOF)
	}
	var sum block.Sum
	if err := sum.UnmarshalText([]byte(resp.Trailer.Get(sumTrailer))); err != nil {
		return block.Sum{}, fmt.Errorf("receiving %s: %w", r, err)
	}
	return sum, nil
}

// copyPieces copies in large pieces: TLS gives 16 KiB at once, and each write is a call of the kernel.
func copyPieces(to io.Writer, from io.Reader) (int64, error) {
	buf := make([]byte, 256<<10)
	var total int64
	for {
		n, err := io.ReadFull(from, buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n < len(buf) && drained(from):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// drained tells the end of a body from a connection that broke: ReadFull calls both an unexpected end.
func drained(from io.Reader) bool {
	n, err := from.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

func (c *Client) ask(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		out = &struct{}{}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return &UnansweredError{fmt.Errorf("reading the source's answer: %w", err)}
	}
	return nil
}

// UnansweredError says that a source on another host gave no answer: it, or the link, is not there now.
type UnansweredError struct{ Err error }

func (e *UnansweredError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UnansweredError) Unwrap() error { return e.Err }

// Unanswered says that a question may be asked again because nobody answered it.
func Unanswered(err error) bool { return errors.As(err, new(*UnansweredError)) && passing(err) }

// do sends a request; an answer that is none is an error.
func (c *Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var data []byte
	if in != nil {
		var err error
		if data, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("asking the source: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("asking the source: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &UnansweredError{fmt.Errorf("asking the source: %w", withoutAddress(err))}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var said refusal
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&said); err != nil || said.Code == "" {
		return nil, fmt.Errorf("asking the source: %s", resp.Status)
	}
	return nil, &RefusedError{said.Code, oneLine(said.Message)}
}
