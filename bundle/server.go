package bundle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	defaultMaxTransfers = 64
	defaultGrace        = 30 * time.Second
	// writeStall ends a transfer whose reader takes no bytes for this long, so that hosts that
	// died half-way do not keep a place.
	writeStall = time.Minute
)

// ServerOptions configures a Server.
type ServerOptions struct {
	// Bundles are served by digest; the caller closes them after the server has stopped.
	Bundles []*Bundle
	// TLS is the configuration with a certificate; without it the server listens on loopback only.
	TLS *tls.Config
	// MaxTransfers limits the blobs that are sent at the same time; more callers wait for a place.
	// Zero means 64.
	MaxTransfers int
	// Grace is how long running transfers may go on after a stop; zero means 30 s.
	Grace time.Duration
	// Log is told about transfers; nil is silent.
	Log *slog.Logger
}

// Server is a read-only mirror of bundles:
//
//	GET /manifest/sha256:<hex>   a bundle's manifest
//	GET /blobs/sha256/<hex>      a blob; ranges and If-None-Match work, the ETag is the digest
//	GET /healthz                 ok
//
// Names are digests, so answers never change and whoever fetches them can check them.
type Server struct {
	options ServerOptions
	places  chan struct{}

	mu        sync.RWMutex
	manifests map[string]*Bundle
	blobs     map[string]*Bundle
}

// NewServer makes a Server; Serve or Handler puts it to work.
func NewServer(o ServerOptions) *Server {
	if o.MaxTransfers <= 0 {
		o.MaxTransfers = defaultMaxTransfers
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o, places: make(chan struct{}, o.MaxTransfers), manifests: map[string]*Bundle{}, blobs: map[string]*Bundle{}}
	for _, b := range o.Bundles {
		s.Add(b)
	}
	return s
}

// Add serves one more bundle; the same bundle twice is no error.
func (s *Server) Add(b *Bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifests[b.Digest()] = b
	for _, c := range b.Manifest().Contents {
		if _, ok := s.blobs[c.Digest]; !ok {
			s.blobs[c.Digest] = b
		}
	}
}

// Handler answers the requests of the mirror.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /manifest/{digest}", s.serveManifest)
	mux.HandleFunc("GET /blobs/sha256/{hex}", s.serveBlob)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// Serve answers on the listener until the context ends; then running transfers get Grace to
// finish. Beyond loopback it refuses to serve without TLS.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if s.options.TLS == nil && !isLoopback(listener.Addr()) {
		return errors.Join(fmt.Errorf("serving bundles on %s: plain HTTP is for loopback only; give a certificate", listener.Addr()), listener.Close())
	}
	if s.options.TLS != nil {
		config := s.options.TLS.Clone()
		if config.MinVersion < tls.VersionTLS12 {
			config.MinVersion = tls.VersionTLS12
		}
		// HTTP/1.1 only: one connection per transfer, so that places are what bounds the load.
		config.NextProtos = []string{"http/1.1"}
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: writeStall, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug)}
	finished := make(chan error, 1)
	go func() { finished <- server.Serve(listener) }()
	select {
	case err := <-finished:
		return fmt.Errorf("serving bundles: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("stopping the mirror with transfers unfinished: %w", err), server.Close())
	}
	return nil
}

// isLoopback says whether nobody but this machine can reach an address.
func isLoopback(address net.Addr) bool {
	ap, err := netip.ParseAddrPort(address.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func (s *Server) serveManifest(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("digest")
	s.mu.RLock()
	b, ok := s.manifests[digest]
	s.mu.RUnlock()
	if !ok {
		http.Error(w, "no bundle with this manifest digest", http.StatusNotFound)
		return
	}
	setHeaders(w, digest, "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(b.ManifestBytes())))
	if r.Header.Get("If-None-Match") == etag(digest) {
		w.Header().Del("Content-Length")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(b.ManifestBytes()); err != nil {
		s.options.Log.Debug("Manifest not sent whole", "digest", digest, "error", err)
	}
}

func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request) {
	digest := digestPrefix + r.PathValue("hex")
	s.mu.RLock()
	b, ok := s.blobs[digest]
	s.mu.RUnlock()
	if !ok {
		http.Error(w, "no blob with this digest", http.StatusNotFound)
		return
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-r.Context().Done():
		return
	}
	f, _, err := b.Blob(digest)
	if err != nil {
		s.options.Log.Error("Blob missing in its bundle", "bundle", b.Path(), "digest", digest, "error", err)
		http.Error(w, "the blob is missing in its bundle", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	setHeaders(w, digest, "application/octet-stream")
	http.ServeContent(&stallGuard{ResponseWriter: w, control: http.NewResponseController(w)}, r, "", time.Time{}, f)
}

func setHeaders(w http.ResponseWriter, digest, contentType string) {
	w.Header().Set("ETag", etag(digest))
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

func etag(digest string) string { return `"` + digest + `"` }

// stallGuard moves the write deadline forward with every chunk.
type stallGuard struct {
	http.ResponseWriter
	control *http.ResponseController
}

// stallChunk is sent under one deadline: at the end of it the reader has shown that it lives.
const stallChunk = 1 << 20

// ReadFrom keeps the kernel's own file copy, a chunk at a time.
func (g *stallGuard) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	for {
		if err := g.extend(); err != nil {
			return total, err
		}
		n, err := io.CopyN(g.ResponseWriter, r, stallChunk)
		total += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func (g *stallGuard) Write(p []byte) (int, error) {
	if err := g.extend(); err != nil {
		return 0, err
	}
	return g.ResponseWriter.Write(p)
}

func (g *stallGuard) extend() error {
	err := g.control.SetWriteDeadline(time.Now().Add(writeStall))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
