# Prints the lease of a host, if it has one. Changes nothing.
echo slipway-begin
state=$root/var/lib/slipway
[ -e "$state/lease.json" ] && printf 'lease=%s\n' "$(head -n 1 "$state/lease.json" | head -c 200)"
echo slipway-end
