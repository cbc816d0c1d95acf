package source

import (
	"errors"
	"net/netip"
	"syscall"
)

// errNotPublic is the guard's refusal; it passes through the dialer's errors.
var errNotPublic = errors.New("address is not public (--allow-private)")

// refuseNonPublic is a net.Dialer's Control: it sees the very IP that is about
// to be connected to, after every name was resolved, so a name that changes
// its mind between a check and a connection gains nothing.
func refuseNonPublic(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !public(to.Addr()) {
		return errNotPublic
	}
	return nil
}

// What is not reachable by everybody, or not what it seems. IPv4 by the
// special-purpose registry of RFC 6890 and its later entries; of IPv6 only
// 2000::/3 is given out as global unicast (RFC 4291), so the rest needs no
// names: loopback, link-local, unique local, multicast, mapped and compatible
// IPv4, NAT64 (64:ff9b::/96), discard.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo (2001::/32) among them
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4: an IPv4 address inside
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
	special4 = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // this network
		netip.MustParsePrefix("10.0.0.0/8"),      // private
		netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
		netip.MustParsePrefix("127.0.0.0/8"),     // loopback
		netip.MustParsePrefix("169.254.0.0/16"),  // link-local, cloud metadata
		netip.MustParsePrefix("172.16.0.0/12"),   // private
		netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
		netip.MustParsePrefix("192.168.0.0/16"),  // private
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarking
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("224.0.0.0/4"),     // multicast
		netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	}
)

// public reports whether a is an address of the open internet.
func public(a netip.Addr) bool {
	special := special6
	switch {
	case a.Is4():
		special = special4
	case a.Zone() != "" || !global6.Contains(a):
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
