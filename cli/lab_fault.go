package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
)

func newLabFaultCommand(opts *lab.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault NAME/MACHINE FAULT",
		Short: "Break a machine, or heal it",
		Example: `  slipway lab fault dev/m1 power-off
  slipway lab fault dev/m1 power-on
  slipway lab fault dev/m2 fill-disk --leave 10Mi
  slipway lab fault dev/m2 clock --offset -90s
  slipway lab fault dev/m2 heal`,
		Args: cobra.ExactArgs(2),
	}
	f := faultFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.leave, "leave", "0", "fill-disk: space to leave free")
	flags.StringVar(&f.rate, "bytes-per-second", "", "rate: limit each way, such as 1Mi; 0 takes it away")
	flags.Float64Var(&f.cores, "cores", 0, "slow: how much of this host's cores the machine gets, such as 0.5; 0 takes the limit away")
	flags.IntVar(&f.millis, "ms", 0, "delay: milliseconds each way")
	flags.IntVar(&f.port, "port", 0, "delay: port of the machine (default: sshd's)")
	flags.DurationVar(&f.offset, "offset", 0, "clock: how far ahead (negative: behind); 0 takes it away")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return faultNames(), cobra.ShellCompDirectiveNoFileComp
		}
		return completeMachines(opts)(cmd, args, word)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, machine, err := openMachine(cmd, *opts, args[0])
		if err != nil {
			return err
		}
		f.command = cmd
		return f.run(cmd.Context(), l, machine, args[1])
	}
	return cmd
}

func faultNames() []string {
	return []string{"power-off", "power-on", "unplug", "plug", "freeze", "thaw", "fill-disk", "free-disk", "rate", "slow", "delay", "clock", "heal"}
}

type faultFlags struct {
	command      *cobra.Command
	leave, rate  string
	cores        float64
	millis, port int
	offset       time.Duration
}

func (f *faultFlags) run(ctx context.Context, l *lab.Lab, machine, fault string) error {
	plain := map[string]func(context.Context, string) error{
		"power-off": l.PowerOff, "power-on": l.PowerOn, "unplug": l.Unplug, "plug": l.Plug, "freeze": l.Freeze, "thaw": l.Thaw,
		"free-disk": l.FreeDisk, "heal": l.Heal,
	}
	if act, ok := plain[fault]; ok {
		return act(ctx, machine)
	}
	switch fault {
	case "fill-disk":
		leave, err := parseBytes("leave", f.leave)
		if err != nil {
			return err
		}
		return l.FillDisk(ctx, machine, leave)
	case "rate":
		rate, err := parseBytes("bytes-per-second", f.rate)
		if err != nil {
			return err
		}
		return l.LimitRate(ctx, machine, rate)
	case "slow":
		if !f.command.Flags().Changed("cores") {
			return fmt.Errorf("slow: say --cores, such as 0.5")
		}
		return l.LimitCores(ctx, machine, f.cores)
	case "clock":
		if !f.command.Flags().Changed("offset") {
			return fmt.Errorf("clock: say --offset, such as 90s or -1h")
		}
		return l.SetClock(ctx, machine, f.offset)
	case "delay":
		return f.delay(ctx, l, machine)
	}
	return fmt.Errorf("unknown fault %q: one of %v", fault, faultNames())
}

func (f *faultFlags) delay(ctx context.Context, l *lab.Lab, machine string) error {
	if f.millis <= 0 {
		return fmt.Errorf("delay: say --ms, such as 200")
	}
	address, err := l.Delay(ctx, machine, f.port, time.Duration(f.millis)*time.Millisecond)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.command.OutOrStdout(), address)
	return err
}

// relayCommand starts this program as the relay of lab.Delay.
func relayCommand() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, "lab", "relay"}
}

func newLabRelayCommand() *cobra.Command {
	flags := lab.RelayFlags{}
	cmd := &cobra.Command{
		Use:    "relay",
		Short:  "Carry TCP connections with a delay (started by lab fault delay)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return lab.Relay(ctx, flags)
		},
	}
	cmd.Flags().StringVar(&flags.Listen, "listen", "", "address to listen on")
	cmd.Flags().StringVar(&flags.To, "to", "", "address to connect to")
	cmd.Flags().DurationVar(&flags.Delay, "delay", 0, "delay each way")
	return cmd
}
