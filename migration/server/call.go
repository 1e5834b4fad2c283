package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// envelope is what stands around the data of every JSON answer.
type envelope struct {
	Status   string   `json:"status"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	Infos    []string `json:"infos"`
}

// engineWarning begins a warning about the query itself (util/annotations); it does not say that the answer is partial.
const engineWarning = "PromQL warning: "

// Call asks for JSON and hands the data to decode, as it comes; params go into the body of a POST, else behind the path. A warning is an
// error, because the answer may be partial; what the engine tells about a query itself is returned as infos.
func (c *Client) Call(ctx context.Context, method, path string, params url.Values, decode func(*json.Decoder) error) (infos []string, err error) {
	var header http.Header
	var body []byte
	if method == http.MethodPost {
		header, body = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(params.Encode())
	} else if len(params) > 0 {
		path += "?" + params.Encode()
	}
	err = c.Ask(ctx, method, path, header, body, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return Refusal(res.StatusCode, body)
		}
		env, err := decodeEnvelope(json.NewDecoder(body), decode)
		switch {
		case err != nil:
			return err
		case env.Status != "success":
			return fmt.Errorf("its status is %q: %s: %w", Clip(env.Status, 40), Clip(env.Error, 200), ErrBroken)
		}
		infos = env.Infos
		for _, w := range env.Warnings {
			if !strings.HasPrefix(w, engineWarning) {
				return &WarningError{Warnings: env.Warnings}
			}
			infos = append(infos, w)
		}
		return nil
	})
	return infos, err
}

// Refusal takes the error out of an answer that says no.
func Refusal(code int, body io.Reader) error {
	text, _ := io.ReadAll(io.LimitReader(body, 4096)) // what cannot be read of a refusal is left out
	var env envelope
	if json.Unmarshal(text, &env) == nil && env.Error != "" {
		return &StatusError{Code: code, Text: Clip(env.Error, 300)}
	}
	return &StatusError{Code: code, Text: Clip(strings.TrimSpace(string(text)), 200)}
}

func decodeEnvelope(d *json.Decoder, decode func(*json.Decoder) error) (envelope, error) {
	var env envelope
	if err := expect(d, '{'); err != nil {
		return env, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return env, broken(err)
		}
		into := any(new(json.RawMessage))
		switch key {
		case "data":
			if err := decode(d); err != nil {
				return env, err
			}
			continue
		case "status":
			into = &env.Status
		case "error":
			into = &env.Error
		case "warnings":
			into = &env.Warnings
		case "infos":
			into = &env.Infos
		}
		if err := d.Decode(into); err != nil {
			return env, broken(err)
		}
	}
	return env, expect(d, '}')
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return broken(err)
	}
	if token != want {
		return fmt.Errorf("%v stands where %v should: %w", Clip(fmt.Sprint(token), 40), want, ErrBroken)
	}
	return nil
}

// broken tells JSON that is wrong from a connection that ended, and keeps the error of the limit.
func broken(err error) error {
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

// Into decodes the data of a call as JSON into v.
func Into(v any) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := d.Decode(v); err != nil {
			return broken(err)
		}
		return nil
	}
}

// Each decodes the elements of an array one by one.
func Each[T any](visit func(T) error) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := expect(d, '['); err != nil {
			return err
		}
		for d.More() {
			var v T
			if err := d.Decode(&v); err != nil {
				return broken(err)
			}
			if err := visit(v); err != nil {
				return err
			}
		}
		return expect(d, ']')
	}
}

// ErrNoLifecycle says that a server takes no reloads over HTTP.
var ErrNoLifecycle = errors.New("it has no --web.enable-lifecycle")

// Reload has the server read its configuration again, by POST /-/reload. ErrNoLifecycle where that is not allowed.
func (c *Client) Reload(ctx context.Context) error {
	return c.Ask(ctx, http.MethodPost, "/-/reload", nil, nil, func(res *http.Response, body io.Reader) error {
		switch res.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusForbidden, http.StatusMethodNotAllowed:
			return ErrNoLifecycle
		}
		return Refusal(res.StatusCode, body)
	})
}
