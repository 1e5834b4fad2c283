package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Call sends one request and decodes the answer into out, which may be nil; in is the JSON body, nil for none. The path has no query. Its errors
// are *CallError; ClassOf says what to do about them. A call that reads is tried at the next endpoint when one does not answer; a call that
// changes something only when nothing of it was sent.
func (c *Client) Call(ctx context.Context, method, path string, params url.Values, in, out any) error {
	_, err := c.call(ctx, method, path, params, in, func(d *json.Decoder) error {
		if out == nil {
			return nil
		}
		return d.Decode(out)
	})
	return err
}

// read asks with GET and hands the answer to decode as it comes. The header of the answer comes back.
func (c *Client) read(ctx context.Context, path string, params url.Values, decode func(*json.Decoder) error) (http.Header, error) {
	return c.call(ctx, http.MethodGet, path, params, nil, decode)
}

func (c *Client) call(ctx context.Context, method, path string, params url.Values, in any, decode func(*json.Decoder) error) (http.Header, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("making the body of %s %s: %w", method, path, err)
		}
	}
	var header http.Header
	var err error
	for range c.endpoints {
		at := c.endpoint()
		header, err = c.once(ctx, at, method, path, params, body, decode)
		if err == nil {
			return header, nil
		}
		err = &CallError{Method: method, Endpoint: c.endpoints[at].Host, Path: path, Err: err}
		if ctx.Err() != nil || !elsewhere(method, err) {
			return header, err
		}
		c.turnFrom(at)
	}
	return header, err
}

func (c *Client) endpoint() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turn
}

// turnFrom goes on to the next endpoint, unless another call has.
func (c *Client) turnFrom(at int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == at {
		c.turn = (at + 1) % len(c.endpoints)
	}
}

// elsewhere says whether a call may be sent to another endpoint after an error. What changes something must not happen twice.
func elsewhere(method string, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	if method != http.MethodGet && method != http.MethodHead || errors.Is(err, ErrBroken) {
		return false
	}
	var server *ServerError
	if errors.As(err, &server) {
		return server.Class() == Retry || server.has("master_not_discovered_exception", "cluster_manager_not_discovered_exception")
	}
	return ClassOf(err) == Retry
}

func (c *Client) once(ctx context.Context, at int, method, path string, params url.Values, body []byte, decode func(*json.Decoder) error) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout+grace)
	defer cancel()
	base := *c.endpoints[at]
	u := base.JoinPath(path)
	u.RawQuery = params.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the address does not make a request")
	}
	for key, values := range c.header {
		req.Header[key] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		var inner *url.Error // repeats the whole address, query and all
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, err
	}
	defer res.Body.Close()
	limited := &limitedReader{r: res.Body, left: c.o.MaxBytes}
	defer func() { c.note(c.o.MaxBytes-limited.left, time.Since(start)) }()
	if res.StatusCode/100 != 2 {
		return res.Header, refusal(res.StatusCode, limited)
	}
	err = whole(decode(json.NewDecoder(limited)))
	if err == nil {
		// To the end, so that the connection can be used again. What comes after the JSON, or where none was wanted, is not looked at.
		_, _ = io.Copy(io.Discard, limited)
	}
	if limited.over {
		err = fmt.Errorf("%w of %d MiB", ErrTooLarge, c.o.MaxBytes>>20)
	}
	return res.Header, err
}

// whole tells JSON that is wrong or cut off from a connection that broke.
func whole(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends too early: %w", ErrBroken)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: %w", err, ErrBroken)
	}
	return err
}

// into decodes an answer into v.
func into(v any) func(*json.Decoder) error {
	return func(d *json.Decoder) error { return d.Decode(v) }
}

// each decodes the elements of a list one by one.
func each[T any](visit func(T)) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := delim(d, '['); err != nil {
			return err
		}
		for d.More() {
			var v T
			if err := d.Decode(&v); err != nil {
				return err
			}
			visit(v)
		}
		return delim(d, ']')
	}
}

// eachField decodes the fields of an object one by one.
func eachField[T any](visit func(string, T)) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := delim(d, '{'); err != nil {
			return err
		}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			var v T
			if err := d.Decode(&v); err != nil {
				return err
			}
			visit(fmt.Sprint(key), v)
		}
		return delim(d, '}')
	}
}

// withList decodes an object into v, but for one long field, which list takes as it comes.
func withList(v any, field string, list func(*json.Decoder) error) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := delim(d, '{'); err != nil {
			return err
		}
		rest := map[string]json.RawMessage{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			if key == field {
				if err := list(d); err != nil {
					return err
				}
				continue
			}
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				return err
			}
			rest[fmt.Sprint(key)] = value
		}
		if err := delim(d, '}'); err != nil {
			return err
		}
		data, err := json.Marshal(rest)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
}

func delim(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("%s stands where %v should: %w", clip(fmt.Sprint(token), 40), want, ErrBroken)
	}
	return err
}

// limitedReader fails, instead of ending, where an answer becomes too long.
type limitedReader struct {
	r    io.Reader
	left int64
	over bool
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		l.over = true
		return 0, ErrTooLarge
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
