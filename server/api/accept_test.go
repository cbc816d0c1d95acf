package api

import (
	"testing"

	"focal/core/pipeline"
)

// What comes last of a type counts, whatever stands before it.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", chrome, "image/avif;q=0", "image/webp;level=1;q=0.5", "IMAGE/AVIF ;Q=1", ",,;,", "image/avif;q=NaN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		first := acceptOf(header)
		if again := acceptOf(header); again != first {
			t.Fatalf("%q: %+v, then %+v", header, first, again)
		}
		if a := acceptOf(header + ",image/avif;q=0,image/webp;q=0"); a != (pipeline.Accept{}) {
			t.Errorf("%q: refused types are taken: %+v", header, a)
		}
		if a := acceptOf(header + ",image/avif,image/webp"); a != (pipeline.Accept{AVIF: true, WebP: true}) {
			t.Errorf("%q: named types are not taken: %+v", header, a)
		}
	})
}
