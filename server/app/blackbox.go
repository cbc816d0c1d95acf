package app

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"focal/inference/blackbox"
)

// blackboxOf names the file in which a sidecar that serves at an address finds
// what the one before it was doing when it ended: beside its socket, else beside
// the models, in a folder that the repository does not look into. Nobody else
// serves at that address, so nobody else has the file.
func blackboxOf(at net.Addr, models string) string {
	if at.Network() == "unix" {
		return at.String() + ".blackbox"
	}
	return filepath.Join(models, ".blackbox", strings.ReplaceAll(at.String(), ":", "_"))
}

// openBlackbox returns nil where there is no path, or it cannot be written:
// everything but the next start goes on as well without.
func openBlackbox(path string) *blackbox.Box {
	if path == "" {
		return nil
	}
	box, err := blackbox.Open(path, time.Now(), slog.Default())
	if err != nil {
		slog.Warn("a crash will not tell the next start what it was over", "err", err)
		return nil
	}
	return box
}
