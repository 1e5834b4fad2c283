// Package ssh reaches hosts over SSH with pinned host keys, directly or through a bastion, and runs commands on them
// with bounded output. It knows nothing of machines or clusters and never asks for a password.
//
// Who is checked first? The host: its key is compared with the pinned one before anything is signed with ours, so that
// a host in between learns nothing. Only the pinned key's algorithm is offered, as OpenSSH does; when the server has
// none of it, one more handshake that ends before authentication finds out which key it shows instead.
//
// What is shared? Connections to bastions, between all hosts behind them and for a short while after the last one, as
// sshd drops connections when many begin at once (MaxStartups). Connections to hosts are never shared.
package ssh
