package transfer

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/oklog/ulid/v2"
)

const (
	maxPinned   = 10_000  // names in one request
	maxBody     = 1 << 20 // bytes of one request
	maxFileName = 64      // bytes of the name of a file of a block
)

// pinRequest is the body of a request to pin.
type pinRequest struct {
	Blocks []string `json:"blocks"`
}

func readPinRequest(r io.Reader) (*pinRequest, error) {
	var p pinRequest
	dec := json.NewDecoder(io.LimitReader(r, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, refused(BadRequest, "the body is no list of blocks: %v", err)
	}
	if len(p.Blocks) == 0 || len(p.Blocks) > maxPinned {
		return nil, refused(BadRequest, "%d blocks, want 1 to %d", len(p.Blocks), maxPinned)
	}
	for _, name := range p.Blocks {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return &p, nil
}

// checkName takes names that folders of blocks have and no others.
func checkName(name string) error {
	if _, err := ulid.ParseStrict(name); err != nil {
		return refused(BadRequest, "%.40q is no name of a block", name)
	}
	return nil
}

// readRange takes a range from a request: the block from its path, the rest from its query.
func readRange(name string, q url.Values) (Range, error) {
	if err := checkName(name); err != nil {
		return Range{}, err
	}
	r := Range{Block: name, File: q.Get("file")}
	if r.File == "" || len(r.File) > maxFileName {
		return Range{}, refused(BadRequest, "%.80q is no name of a file", r.File)
	}
	var err error
	if r.Offset, err = readNumber(q, "offset", 0, 1<<62); err != nil {
		return Range{}, err
	}
	r.Bytes, err = readNumber(q, "bytes", 1, MaxRange)
	return r, err
}

func readNumber(q url.Values, name string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, refused(BadRequest, "%s is %.40q, want %d to %d", name, q.Get(name), least, most)
	}
	return n, nil
}

// status is the HTTP status of a refusal.
func (c Code) status() int {
	switch c {
	case BadRequest:
		return http.StatusBadRequest
	case NotPinned:
		return http.StatusConflict
	case NotFound:
		return http.StatusNotFound
	case NotPermitted:
		return http.StatusForbidden
	case NoSpace:
		return http.StatusInsufficientStorage
	case Busy:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
