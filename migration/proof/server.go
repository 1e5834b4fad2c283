package proof

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// Server is a Prometheus server that is asked, one question at a time, and never changed. It may be used by several goroutines.
type Server struct {
	*server.Client
	external labels.Labels
}

// NewServer reads the files that o names. It does not talk to the server.
func NewServer(o server.Options) (*Server, error) {
	c, err := server.New(o)
	if err != nil {
		return nil, err
	}
	return &Server{Client: c}, nil
}
