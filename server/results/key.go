package results

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"time"

	"focal/core/pipeline"
	"focal/core/pixel"
)

// question is a request with the name of its answer.
type question struct {
	Request
	maker  string
	models []pixel.Digest // of the tasks of the options, in their order
	known  bool           // all models are; else the key stands for this moment only
	key    pixel.Digest
}

// question gives r a name by the models that are known now.
func (k *Keeper) question(ctx context.Context, r Request) question {
	q := question{Request: r, maker: k.config.Maker, known: true}
	for _, task := range pipeline.Tasks(r.Options) {
		d, ok := k.models.Digest(ctx, task)
		q.models, q.known = append(q.models, d), q.known && ok
	}
	q.key = q.digest()
	return q
}

// answered returns q by the models that have in fact answered; false: one has
// not, so that the answer has no name.
func (q question) answered(facts []pipeline.Fact) (question, bool) {
	q.models = nil
	for _, task := range pipeline.Tasks(q.Options) {
		i := slices.IndexFunc(facts, func(f pipeline.Fact) bool { return f.Task == task })
		if i < 0 || facts[i].Digest == (pixel.Digest{}) {
			return q, false
		}
		q.models = append(q.models, facts[i].Digest)
	}
	q.known, q.key = true, q.digest()
	return q, true
}

// digest is the key: everything that the answer depends on.
func (q question) digest() (d pixel.Digest) {
	h := sha256.New()
	put(h, []byte(q.maker))
	put(h, q.Source.Digest[:])
	put(h, []byte(q.Options.Canonical()))
	put(h, []byte{flag(q.Accept.AVIF), flag(q.Accept.WebP)})
	put(h, []byte(pixel.LookVersion))
	for _, m := range q.models {
		put(h, m[:])
	}
	h.Sum(d[:0])
	return d
}

// put adds one field; its length keeps it apart from the next.
func put(h hash.Hash, field []byte) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field))))
	h.Write(field)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// The folders of a store: pictures/<source's digest>/<key>, and, for Purge, an
// empty sources/<place>/<source's digest> for every place where that source
// has been.
const (
	pictures = "pictures"
	sources  = "sources"
)

func folder(of string, d pixel.Digest) string { return of + "/" + d.String() }

func (q question) folder() string { return folder(pictures, q.Source.Digest) }
func (q question) file() string   { return q.key.String() }

// note writes down in every store where a source was found, again every hour:
// what is used must not look old.
func (k *Keeper) note(r Request) {
	if len(k.tiers) == 0 || r.Private {
		return
	}
	h := sha256.New()
	put(h, r.Place[:])
	put(h, r.Source.Digest[:])
	put(h, binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/3600)))
	var id pixel.Digest
	h.Sum(id[:0])
	if _, ok := k.noted.Get(id); ok {
		return
	}
	k.noted.Put(id, struct{}{})
	purges := k.purges.Load()
	j := job{folder(sources, r.Place), r.Source.Digest.String(), nil, func() bool { return k.purges.Load() == purges }}
	for _, t := range k.tiers {
		t.put(j)
	}
}
