package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/slipway-dev/slipway/image"
	"github.com/spf13/cobra"
)

type imageBuildOptions struct {
	image.ToolsOptions
	output string
	noCAs  bool
}

// newImageBuildCommand builds slipway image build.
func newImageBuildCommand() *cobra.Command {
	var o imageBuildOptions
	cmd := &cobra.Command{
		Use:   "build --output FILE.tar",
		Short: "Pack this program and slipway-agent into an image",
		Long: `Build packs this very program, slipway-agent that lies beside it, and the certificates of authorities that this machine believes into a container image. No
container engine is needed. The image has no distribution and no shell, and its user is not root; the same files make the same image, with the same digest.
It is what a PrometheusMigration names in spec.tools.image.

The file is an archive as docker save writes it: containerd imports it on a node, and crane, skopeo or docker push it into a registry.
Exit codes: 0 the file is there, 1 a program is missing or not static, 2 wrong usage.`,
		Example: `  slipway image build -o slipway.tar
  slipway image build -o slipway.tar --name registry.example/tools/slipway:0.1.0
  ctr -n k8s.io images import slipway.tar
  crane push slipway.tar registry.example/tools/slipway:0.1.0`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd.OutOrStdout(), cmd.ErrOrStderr()) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "file to write")
	f.StringVar(&o.Reference, "name", "", "name and tag of the image (default slipway:VERSION)")
	f.StringVar(&o.Agent, "agent", "", "the program slipway-agent (default: the one beside this program)")
	f.StringVar(&o.Authorities, "ca-certificates", "", "certificates of the authorities that the image believes, as PEM (default: those of this machine)")
	f.BoolVar(&o.noCAs, "no-ca-certificates", false, "put no certificates of authorities into the image")
	cmd.MarkFlagsMutuallyExclusive("ca-certificates", "no-ca-certificates")
	// These fail for a flag that does not exist only.
	_ = cmd.MarkFlagRequired("output")
	_ = cmd.MarkFlagFilename("output", "tar")
	_ = cmd.MarkFlagFilename("agent")
	_ = cmd.MarkFlagFilename("ca-certificates", "crt", "pem")
	return cmd
}

func (o *imageBuildOptions) run(out, errs io.Writer) error {
	if err := o.complete(errs); err != nil {
		return err
	}
	made, err := image.NewTools(o.ToolsOptions)
	if err != nil {
		return err
	}
	if err := made.Write(o.output); err != nil {
		return err
	}
	info, err := os.Stat(o.output)
	if err != nil {
		return fmt.Errorf("looking at what was written: %w", err)
	}
	_, err = fmt.Fprintf(out, "image   %s\ndigest  %s\nid      %s\nfile    %s (%s)\n", made.Reference, made.Digest, made.ID, o.output, size(info.Size()))
	return err
}

// complete finds what was not given.
func (o *imageBuildOptions) complete(errs io.Writer) error {
	self, err := os.Executable()
	if err == nil {
		// What is replaced while it runs is named "… (deleted)": the image would be of another program than this one.
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	o.Slipway, o.Version = self, Version
	if o.Reference == "" {
		o.Reference = "slipway:" + strings.NewReplacer("+", "-").Replace(Version)
	}
	if o.Agent == "" {
		o.Agent = image.AgentBeside(self)
	}
	if _, err := os.Stat(o.Agent); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no %s: the image holds it beside slipway; put it there (make build makes both), or name it with --agent", o.Agent)
	}
	if o.noCAs || o.Authorities != "" {
		return nil
	}
	if o.Authorities, err = image.Authorities(); err != nil {
		return err
	}
	if o.Authorities == "" {
		fmt.Fprintln(errs, "This machine has no certificates of authorities: in the image, a server with TLS is believed only with a file that names its authority (--…-ca-file).")
	}
	return nil
}
