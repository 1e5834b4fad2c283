// Package lab makes practice machines on one Linux host: systemd-nspawn containers that boot systemd and sshd, each with a
// disk image, an address, a machine-id and a host key of its own, on a bridge that no other network reaches. It breaks them on
// demand (power, cable, clock, disk) and takes everything away again. It knows nothing of Kubernetes and imports no kind.
//
// Why a network namespace per lab? The bridge and all machine-side links live inside it, so that the packet filter of the host
// (Docker's FORWARD DROP, for one) never sees what machines say to each other, names of links cannot clash between labs, and the
// end of the namespace is the end of every link. The host keeps one veth with the first address of the lab.
//
// Why a mount namespace per machine? The disk is mounted in the namespace of the machine's launcher only. When the last process
// dies, the kernel unmounts the disk and frees its loop device; a killed creator cannot leave either behind.
//
// Why cgroups as the register of processes? The launcher is born inside the machine's cgroup, so killing a machine is killing
// what its cgroups hold: no process can leave them, and a dead creator's notes are not needed.
//
// All three are named after the lab's index, the third number of its addresses (198.18.INDEX.0/24), which is taken under a lock
// below /run/slipway-lab for the whole host.
package lab
