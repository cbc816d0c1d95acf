package api

import (
	"net/http"
	"testing"

	"focal/core/fault"
	"focal/core/pipeline"
)

func TestImage_RedirectsOnlyFatalErrorsOfAllowedRequests(t *testing.T) {
	for _, c := range []struct {
		name, options, ref string
		fetch, make        fault.Kind // Internal stands for none
		status             int
	}{
		{"not found", "onerror=redirect", "a.jpg", fault.NotFound, 0, 302},
		{"upstream", "onerror=redirect", "a.jpg", fault.Upstream, 0, 302},
		{"too large to fetch", "onerror=redirect", "a.jpg", fault.TooLarge, 0, 302},
		{"corrupt", "onerror=redirect", "a.jpg", 0, fault.Corrupt, 302},
		{"a cut-out without inference", "onerror=redirect", "a.jpg", 0, fault.Unavailable, 302},
		{"not allowed", "onerror=redirect", "a.jpg", fault.Forbidden, 0, 403},
		{"a loop", "onerror=redirect", "a.jpg", fault.Loop, 0, 508},
		{"no place to lead to", "onerror=redirect", "nowhere", fault.NotFound, 0, 404},
		{"not asked for", "width=5", "a.jpg", fault.NotFound, 0, 404},
		{"no error", "onerror=redirect", "a.jpg", 0, 0, 200},
	} {
		s := &sources{}
		if c.fetch != 0 {
			s.err = fault.New(c.fetch, "test", "no")
		}
		p := pictures{func(r pipeline.Request) (pipeline.Result, error) {
			if c.make != 0 {
				return pipeline.Result{}, fault.New(c.make, "test", "no")
			}
			return fixed(r)
		}}
		base := serve(t, s, p, nil)
		resp, _ := get(t, base+"/cdn-cgi/image/"+c.options+"/"+c.ref)
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.name, resp.StatusCode, c.status)
		}
		want := ""
		if c.status == http.StatusFound {
			want = "https://origin.example/" + c.ref
		}
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("%s: Location %q, want %q", c.name, got, want)
		}
		if c.status != 200 && resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the answer may be stored", c.name)
		}
	}
}
