package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/spf13/cobra"
)

type bundleServeOptions struct {
	listen       string
	certFile     string
	keyFile      string
	maxTransfers int
}

// newBundleServeCommand builds slipway bundle serve.
func newBundleServeCommand() *cobra.Command {
	var o bundleServeOptions
	cmd := &cobra.Command{
		Use:   "serve BUNDLE...",
		Short: "Serve bundles to nodes, read-only, by digest",
		Long: `Serve answers GET /manifest/sha256:<hex> and GET /blobs/sha256/<hex> for one or more bundles. Transfers can
be resumed (Range). Beyond loopback it needs a certificate. It stops on an interrupt, after the transfers
that are running.`,
		Example: "  slipway bundle serve --listen 198.18.0.1:8443 --tls-cert-file mirror.crt --tls-key-file mirror.key ./bundle-1.36.tar",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return serveBundles(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args, o)
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8480", "address to listen on")
	cmd.Flags().StringVar(&o.certFile, "tls-cert-file", "", "certificate chain in PEM")
	cmd.Flags().StringVar(&o.keyFile, "tls-key-file", "", "private key in PEM")
	cmd.Flags().IntVar(&o.maxTransfers, "max-transfers", 64, "blobs sent at the same time; more callers wait")
	cmd.MarkFlagsRequiredTogether("tls-cert-file", "tls-key-file")
	return cmd
}

func serveBundles(ctx context.Context, stdout, stderr io.Writer, paths []string, o bundleServeOptions) error {
	options := bundle.ServerOptions{MaxTransfers: o.maxTransfers, Log: slog.New(slog.NewTextHandler(stderr, nil))}
	scheme := "http"
	if o.certFile != "" {
		certificate, err := tls.LoadX509KeyPair(o.certFile, o.keyFile)
		if err != nil {
			return fmt.Errorf("loading the certificate: %w", err)
		}
		options.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		scheme = "https"
	}
	for _, path := range paths {
		b, err := bundle.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }()
		options.Bundles = append(options.Bundles, b)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", o.listen, err)
	}
	for _, b := range options.Bundles {
		fmt.Fprintf(stdout, "%s://%s/manifest/%s  %s\n", scheme, listener.Addr(), b.Digest(), b.Path())
	}
	return bundle.NewServer(options).Serve(ctx, listener)
}
