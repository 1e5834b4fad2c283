package transfer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
)

const (
	sumTrailer   = "Slipway-Sha256" // of the bytes as they were read
	errorTrailer = "Slipway-Error"  // code and message, when a read broke off

	maxReaders = 32               // reads and scrubs at once
	writePause = 2 * time.Minute  // a client that takes nothing for so long is gone
	signOfLife = 10 * time.Second // how often what takes long says that it goes on
)

// ServerOptions say what a Server offers.
type ServerOptions struct {
	Source Source
	// Log is told who asked for what was refused; nil: nobody.
	Log *slog.Logger
}

// Server offers a Source over HTTP. Who may speak to it is the business of its listener: mutual TLS, or a Unix socket.
type Server struct {
	o       ServerOptions
	readers chan struct{}
	mux     *http.ServeMux

	mu     sync.Mutex
	asking int       // requests that are answered now
	asked  time.Time // when the last one ended
}

// NewServer makes a Server.
func NewServer(o ServerOptions) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, readers: make(chan struct{}, maxReaders), mux: http.NewServeMux(), asked: time.Now()}
	s.mux.HandleFunc("GET /v1/blocks", s.answer(s.blocks))
	s.mux.HandleFunc("GET /v1/pin", s.answer(s.pinned))
	s.mux.HandleFunc("PUT /v1/pin", s.pin)
	s.mux.HandleFunc("DELETE /v1/pin", s.answer(s.unpin))
	s.mux.HandleFunc("GET /v1/blocks/{block}/files", s.answer(s.files))
	s.mux.HandleFunc("GET /v1/blocks/{block}/bytes", s.bytes)
	s.mux.HandleFunc("GET /v1/blocks/{block}/scrub", s.scrub)
	s.mux.HandleFunc("GET /v1/status", s.answer(s.status))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.count(1)
	defer s.count(-1)
	s.mux.ServeHTTP(w, r)
}

func (s *Server) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking, s.asked = s.asking+n, time.Now()
}

// Idle is since when nobody asks anything; 0 while somebody does.
func (s *Server) Idle() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking > 0 {
		return 0
	}
	return time.Since(s.asked)
}

// Serve answers on a listener until the context is done.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog:    slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return ctx },
		// One connection per reader, so that several reads do not wait for each other.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // readers resume where they were
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving blocks: %w", err)
	}
	return nil
}

// answer turns a value or an error into JSON.
func (s *Server) answer(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := f(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(value); err != nil {
			s.o.Log.Warn("Answer not delivered", "path", r.URL.Path, "error", err)
		}
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	said := asRefusal(err)
	s.told(r, said)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(said.Code.status())
	_ = json.NewEncoder(w).Encode(refusal{Code: said.Code, Message: said.Message}) // the client is told or gone
}

// told logs a refusal, but not that a client has gone.
func (s *Server) told(r *http.Request, said *RefusedError) {
	if r.Context().Err() == nil {
		s.o.Log.Warn("Request refused", "path", r.URL.Path, "from", r.RemoteAddr, "code", string(said.Code), "error", said.Message)
	}
}

// refusal is the body of an answer that is none.
type refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func asRefusal(err error) *RefusedError {
	if said := (*RefusedError)(nil); errors.As(err, &said) {
		return said
	}
	return &RefusedError{Code: codeOf(err), Message: err.Error()}
}

func (s *Server) blocks(r *http.Request) (any, error) { return s.o.Source.Blocks(r.Context()) }

func (s *Server) pinned(r *http.Request) (any, error) { return s.o.Source.Pinned(r.Context()) }

func (s *Server) unpin(r *http.Request) (any, error) {
	return struct{}{}, s.o.Source.Unpin(r.Context())
}

func (s *Server) files(r *http.Request) (any, error) {
	name := r.PathValue("block")
	if err := checkName(name); err != nil {
		return nil, err
	}
	return s.o.Source.Files(r.Context(), name)
}

func (s *Server) status(r *http.Request) (any, error) { return s.o.Source.Status(r.Context()) }

// enter takes one of the places for readers.
func (s *Server) enter() error {
	select {
	case s.readers <- struct{}{}:
		return nil
	default:
		return refused(Busy, "%d reads run already", maxReaders)
	}
}

func (s *Server) leave() { <-s.readers }

// bytes gives a range; its sum, or why it broke off, comes behind it.
func (s *Server) bytes(w http.ResponseWriter, r *http.Request) {
	wanted, err := readRange(r.PathValue("block"), r.URL.Query())
	if err == nil {
		err = s.enter()
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer s.leave()
	to := &body{w: w, control: http.NewResponseController(w)}
	sum, err := s.o.Source.Read(r.Context(), wanted, to)
	switch {
	case err != nil && !to.begun:
		s.refuse(w, r, err)
	case err != nil:
		said := asRefusal(err)
		if r.Context().Err() == nil { // else the client has gone, which is its own business
			s.o.Log.Warn("Read broke off", "range", wanted.String(), "code", string(said.Code), "error", said.Message)
		}
		w.Header().Set(errorTrailer, string(said.Code)+" "+oneLine(said.Message))
	default:
		w.Header().Set(sumTrailer, sum.String())
	}
}

// body is the body of an answer: the head goes out with the first byte.
type body struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write gives up on a client that takes nothing.
func (b *body) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.w.Header().Set("Content-Type", "application/octet-stream")
		b.w.Header().Set("Trailer", sumTrailer+", "+errorTrailer)
	}
	if err := b.control.SetWriteDeadline(time.Now().Add(writePause)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return b.w.Write(p)
}

func oneLine(text string) string {
	out := []rune(text)
	for i, r := range out {
		if r < ' ' || r > '~' {
			out[i] = '?'
		}
	}
	return string(out[:min(len(out), 1000)])
}

// pin pins blocks; where they are copied that takes long.
func (s *Server) pin(w http.ResponseWriter, r *http.Request) {
	p, err := readPinRequest(r.Body)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.work(w, r, func(ctx context.Context) (*block.Report, error) { return nil, s.o.Source.Pin(ctx, p.Blocks) })
}

// scrub reads a whole block.
func (s *Server) scrub(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("block")
	piece, err := readNumber(r.URL.Query(), "piece", 1, MaxRange)
	if err == nil {
		err = checkName(name)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.work(w, r, func(ctx context.Context) (*block.Report, error) { return s.o.Source.Scrub(ctx, name, piece) })
}

// work answers with empty lines while f works, so that nobody on the way thinks that the connection is dead, and then
// with a report or a refusal.
func (s *Server) work(w http.ResponseWriter, r *http.Request, f func(context.Context) (*block.Report, error)) {
	if err := s.enter(); err != nil {
		s.refuse(w, r, err)
		return
	}
	defer s.leave()
	w.Header().Set("Content-Type", "application/json")
	report, err := s.alive(r.Context(), w, f)
	answer := workAnswer{Report: report}
	if err != nil {
		said := asRefusal(err)
		s.told(r, said)
		answer.Refusal = &refusal{said.Code, said.Message}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.o.Log.Warn("Answer not delivered", "path", r.URL.Path, "error", err)
	}
}

// workAnswer is the answer to what takes long.
type workAnswer struct {
	Report  *block.Report `json:"report,omitempty"`
	Refusal *refusal      `json:"refusal,omitempty"`
}

// alive writes a sign of life every few seconds while f works.
func (s *Server) alive(ctx context.Context, w http.ResponseWriter, f func(context.Context) (*block.Report, error)) (*block.Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		report *block.Report
		err    error
	}
	done := make(chan result, 1)
	go func() {
		report, err := f(ctx)
		done <- result{report, err}
	}()
	ticker := time.NewTicker(signOfLife)
	defer ticker.Stop()
	control := http.NewResponseController(w)
	for {
		select {
		case r := <-done:
			return r.report, r.err
		case <-ticker.C:
			if _, err := io.WriteString(w, "\n"); err != nil {
				cancel()
			}
			_ = control.Flush() // a client that is gone shows at the next write
		}
	}
}
