package source

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"focal/core/pixel"
)

// Original is a source as it was fetched. It belongs to one caller; others may
// have the same bytes.
type Original struct {
	// Bytes are valid until Release, and must not be changed.
	Bytes  []byte
	Digest pixel.Digest // SHA-256 of Bytes
	// Place is a digest of the address that it was fetched from: what Purge
	// returns for that source.
	Place pixel.Digest
	// What the origin said, empty or zero where it said nothing. A file has an
	// ETag and a LastModified.
	ContentType  string
	ETag         string
	LastModified time.Time
	CacheControl string

	header   http.Header // the origin's; nil for what must not be kept
	held     *held
	released atomic.Bool
}

// held is the memory of bytes that one or several Originals show.
type held struct {
	memory *memory
	bytes  int64
	owners atomic.Int64
}

// hold makes an Original of bytes that are booked already.
func (m *memory) hold(b []byte, d pixel.Digest) *Original {
	h := &held{memory: m, bytes: int64(cap(b))}
	h.owners.Store(1)
	return &Original{Bytes: b, Digest: d, held: h}
}

// share returns another Original of the same bytes, to be released by itself.
// o has not been released.
func (o *Original) share() *Original {
	o.held.owners.Add(1)
	return &Original{
		Bytes: o.Bytes, Digest: o.Digest, Place: o.Place,
		ContentType: o.ContentType, ETag: o.ETag, LastModified: o.LastModified, CacheControl: o.CacheControl,
		header: o.header, held: o.held,
	}
}

// Release gives the memory of o back to the budget, where nobody else has it.
// Call it once nothing reads Bytes any more, C included; further calls do
// nothing.
func (o *Original) Release() {
	if o.released.Swap(true) {
		return
	}
	o.Bytes = nil
	if o.held != nil && o.held.owners.Add(-1) == 0 {
		o.held.memory.release(o.held.bytes)
	}
}

// Private says that its origin wants no cache of many users to keep it, nor
// what is made of it (RFC 9111 §5.2.2: no-store, private).
func (o *Original) Private() bool {
	control := directives(o.CacheControl)
	_, noStore := control["no-store"]
	_, private := control["private"]
	return noStore || private
}

// describe takes over what the origin said.
func (o *Original) describe(h http.Header) {
	o.header = h
	o.ContentType = h.Get("Content-Type")
	o.ETag = h.Get("ETag")
	o.CacheControl = strings.Join(h.Values("Cache-Control"), ", ")
	if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		o.LastModified = t
	}
}
