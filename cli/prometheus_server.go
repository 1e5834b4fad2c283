package cli

import (
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/spf13/pflag"
)

// serverFlags adds the flags that say how a server is reached, but for its address: --PREFIXuser and so on. of ends their help, as in
// " of the source".
func serverFlags(f *pflag.FlagSet, prefix, of string, o *server.Options) {
	f.StringVar(&o.User, prefix+"user", "", "user for basic authentication"+of)
	f.StringVar(&o.PasswordFile, prefix+"password-file", "", "file with the password"+of)
	f.StringVar(&o.TokenFile, prefix+"token-file", "", "file with a bearer token"+of)
	f.StringVar(&o.CAFile, prefix+"ca-file", "", "file with the authorities of the certificate"+of)
}
