package models

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"focal/core/fault"
	"focal/core/pixel"
)

// part is a model file that is not complete yet. It lies in a folder of its
// own, under the digest it shall have, so that the next attempt goes on where
// this one ended; a lock keeps two attempts from writing at once.
type part struct {
	path string
	f    *os.File
	sha  hash.Hash
	md5  hash.Hash
	size int64
}

// partial opens the part of that name, with what it holds from before.
func (r *Repository) partial(name string) (*part, error) {
	const op = "models.partial"
	dir := filepath.Join(r.dir, partialDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	path := filepath.Join(dir, name+".part")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.New(fault.Busy, op, "%s is being written by another process", path)
	}
	p := &part{path: path, f: f, sha: sha256.New(), md5: md5.New()}
	if p.size, err = io.Copy(io.MultiWriter(p.sha, p.md5), f); err != nil {
		f.Close()
		return nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	return p, nil
}

// Write appends.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.sha.Write(b[:n])
	p.md5.Write(b[:n])
	p.size += int64(n)
	return n, err
}

// restart throws away what is there.
func (p *part) restart() error {
	forgot := os.Remove(p.origin())
	if errors.Is(forgot, os.ErrNotExist) {
		forgot = nil
	}
	_, sought := p.f.Seek(0, io.SeekStart)
	if err := errors.Join(forgot, p.f.Truncate(0), sought); err != nil {
		return fault.New(fault.Unavailable, "models.partial", "%w", err)
	}
	p.sha.Reset()
	p.md5.Reset()
	p.size = 0
	return nil
}

// origin is the file that says where the part came from.
func (p *part) origin() string { return p.path + ".from" }

// remember notes the address and validator of the bytes that follow.
func (p *part) remember(address, validator string) error {
	if err := os.WriteFile(p.origin(), []byte(address+"\n"+validator), 0o644); err != nil {
		return fault.New(fault.Unavailable, "models.partial", "%w", err)
	}
	return nil
}

// validator returns what remember noted for address, empty if the part came
// from elsewhere.
func (p *part) validator(address string) string {
	text, err := os.ReadFile(p.origin())
	if err != nil {
		return "" // then it starts anew
	}
	from, validator, _ := strings.Cut(string(text), "\n")
	if from != address {
		return ""
	}
	return validator
}

// check compares what was written with a.
func (p *part) check(a Artefact) error {
	got := pixel.Digest(p.sha.Sum(nil)).String()
	if !strings.EqualFold(got, a.SHA256) {
		return fault.New(fault.Corrupt, "models.Pull", "SHA-256 is %s, not %s", got, a.SHA256)
	}
	if got := hex.EncodeToString(p.md5.Sum(nil)); a.MD5 != "" && !strings.EqualFold(got, a.MD5) {
		return fault.New(fault.Corrupt, "models.Pull", "MD5 is %s, not %s", got, a.MD5)
	}
	return nil
}

// moveTo puts the finished file in place: it is on the disk before it is seen.
func (p *part) moveTo(path string) error {
	if err := errors.Join(p.f.Sync(), os.Rename(p.path, path)); err != nil {
		return fault.New(fault.Unavailable, "models.install", "%w", err)
	}
	return nil
}

// close keeps the part for the next attempt. A closed part, or one that was
// moved, stays so.
func (p *part) close() { _ = p.f.Close() }

// discard removes what is left of the part.
func (p *part) discard() {
	p.close()
	_ = os.Remove(p.path) // gone already where it was moved
	_ = os.Remove(p.origin())
}
