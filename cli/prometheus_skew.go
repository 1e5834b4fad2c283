package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/spf13/cobra"
)

type skewOptions struct {
	from, to string
	flags    string
	output   string
	exitZero bool
}

// newPrometheusSkewCommand builds slipway prometheus skew.
func newPrometheusSkewCommand() *cobra.Command {
	var o skewOptions
	cmd := &cobra.Command{
		Use:   "skew --from VERSION --to VERSION FILE|DIR...",
		Short: "Tell what a newer Prometheus does differently with your files",
		Long: `Skew reads configurations, rule files, PrometheusRule manifests and Grafana dashboards of a Prometheus server, and tells what a newer
version refuses or answers otherwise: file, line, why, since which version, and the text in its place where that follows from the file.
Directories are walked for *.yml, *.yaml and *.json; what a file is is found out by its content. Nothing is asked and nothing is written.

With --flags it also looks at the command line of the old server: curl http://old:9090/api/v1/status/flags > flags.json
From a version before 2.55 to 3.x it is two moves, since only 2.55 can read what 3.x wrote: each finding names its hop.
Exit codes: 0 nothing breaks, 1 something breaks or a file cannot be read (0 with --exit-zero), 2 wrong usage.`,
		Example: `  slipway prometheus skew --from 2.42.0 --to 3.16.0 /etc/prometheus dashboards/
  slipway prometheus skew --from 2.42.0 --to 3.16.0 --flags flags.json /etc/prometheus -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(args, cmd.OutOrStdout())
		},
	}
	outputFlag(cmd, &o.output, "json", "yaml")
	cmd.Flags().StringVar(&o.from, "from", "", "version of the old server")
	cmd.Flags().StringVar(&o.to, "to", "", "version of the new server")
	cmd.Flags().StringVar(&o.flags, "flags", "", "file with the flags of the old server, as /api/v1/status/flags tells them or as a JSON list")
	cmd.Flags().BoolVar(&o.exitZero, "exit-zero", false, "exit with 0 whatever is found")
	// They fail for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{skew.Known().String()}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.NoFileCompletions)
	_ = cmd.MarkFlagFilename("flags", "json")
	return cmd
}

func (o *skewOptions) run(paths []string, out io.Writer) error {
	checker, err := o.checker()
	if err != nil {
		return err
	}
	files, err := filesBelow(paths)
	if err != nil {
		return err
	}
	for _, name := range files {
		data, err := readBounded(name)
		if err != nil {
			checker.AddUnread(name, err)
			continue
		}
		checker.Add(name, data)
	}
	report := checker.Report()
	if o.output != "" {
		err = printObject(out, o.output, report)
	} else {
		err = printSkew(out, report)
	}
	if err != nil || o.exitZero {
		return err
	}
	if breaks, unread := report.Count(skew.Breaks), report.Unread(); breaks+unread > 0 {
		return fmt.Errorf("moving from %v to %v: %d places break, %d files cannot be read", report.From, report.To, breaks, unread)
	}
	return nil
}

func (o *skewOptions) checker() (*skew.Checker, error) {
	var versions [2]skew.Version
	for i, flag := range []struct{ name, value string }{{"from", o.from}, {"to", o.to}} {
		if flag.value == "" {
			return nil, &usageError{fmt.Errorf("--%s is needed: a version such as 2.42.0", flag.name)}
		}
		v, err := skew.ParseVersion(flag.value)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--%s: %w", flag.name, err)}
		}
		versions[i] = v
	}
	options := skew.Options{From: versions[0], To: versions[1]}
	if o.flags != "" {
		data, err := readBounded(o.flags)
		if err != nil {
			return nil, fmt.Errorf("reading --flags: %w", err)
		}
		if options.Flags, err = skew.ReadFlags(data); err != nil {
			return nil, fmt.Errorf("%s: %w", o.flags, err)
		}
	}
	return skew.New(options)
}

// filesBelow lists the files that are meant: those named, and in directories all of YAML and JSON.
func filesBelow(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		below, err := walkFiles(path)
		if err != nil {
			return nil, err
		}
		files = append(files, below...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func walkFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("walking %s: %w", dir, err)
		case e.IsDir() && path != dir && strings.HasPrefix(e.Name(), ".."): // the files behind the links of a mounted ConfigMap
			return fs.SkipDir
		case !e.IsDir() && slices.Contains([]string{".yml", ".yaml", ".json"}, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

const maxSkewFile = 16 << 20

// readBounded reads a regular file up to one byte more than a checker takes.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSkewFile+1))
}

func printSkew(out io.Writer, r *skew.Report) error {
	for i, hop := range r.Hops {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "HOP %d of %d: %v -> %v\n", i+1, len(r.Hops), hop.From, hop.To)
		found := false
		for _, f := range r.Findings {
			if f.Hop == i+1 {
				found = true
				printFinding(out, f)
			}
		}
		if !found {
			fmt.Fprintln(out, "nothing found")
		}
	}
	fmt.Fprintln(out)
	for _, name := range r.Unrecognised {
		fmt.Fprintf(out, "not recognised, and not looked at: %s\n", printable(name))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	expressions := 0
	for _, f := range r.Files {
		expressions += f.Expressions
	}
	_, err := fmt.Fprintf(out, "%d breaks, %d differs, %d to look at; %d files with %d expressions read\n",
		r.Count(skew.Breaks), r.Count(skew.Differs), r.Count(skew.Look), len(r.Files), expressions)
	return err
}

func printFinding(out io.Writer, f skew.Finding) {
	place := "the server"
	if f.File != "" {
		place = f.File
	}
	if f.Line > 0 {
		place += fmt.Sprintf(":%d:%d", f.Line, f.Column)
	}
	fmt.Fprintf(out, "\n%s: %s %s", printable(place), f.Severity, f.Rule)
	if f.Since != nil {
		fmt.Fprintf(out, " (%v)", f.Since)
	}
	if f.Where != "" {
		fmt.Fprintf(out, ", %s", printable(f.Where))
	}
	fmt.Fprintf(out, "\n  %s\n  why: %s\n  fix: %s\n", printable(f.What), printable(f.Why), printable(f.Fix))
	for _, change := range []struct{ sign, text string }{{"-", f.Old}, {"+", f.New}} {
		if change.text != "" {
			fmt.Fprintf(out, "    %s %s\n", change.sign, printable(change.text))
		}
	}
}

// printable is text of a file as one line that a terminal shows and does not obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '?'
		}
		return r
	}, text)
}
