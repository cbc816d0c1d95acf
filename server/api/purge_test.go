package api

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"focal/core/fault"
)

func post(t *testing.T, url, body string, header ...string) (int, string) {
	t.Helper()
	resp, text := send(t, http.MethodPost, url, strings.NewReader(body), header...)
	return resp.StatusCode, text
}

func TestPurge_IsForThoseWithATokenOrAKey(t *testing.T) {
	const body = `{"files":["a.jpg"]}`
	none := serve(t, &sources{}, pictures{fixed}, nil)
	if status, text := post(t, none+"/purge", body, "Authorization", "Bearer "); status != 403 || !strings.Contains(text, "--purge-token") {
		t.Errorf("where there is no token: %d %s", status, text)
	}
	base := serve(t, &sources{}, pictures{fixed}, func(c *Config) { c.SignKeys, c.PurgeToken = []string{"old", "new"}, "token" })
	for header, want := range map[string]int{
		"": 403, "Bearer": 403, "Bearer ": 403, "Bearer other": 403, "Basic token": 403, "token": 403, "Bearer oldnew": 403,
		"Bearer token": 200, "bearer token": 200, "Bearer old": 200, "Bearer new": 200,
	} {
		if status, text := post(t, base+"/purge", body, "Authorization", header); status != want {
			t.Errorf("%q: %d %s, want %d", header, status, text, want)
		}
	}
	resp, _ := get(t, base+"/purge", "Authorization", "Bearer token")
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func TestPurge_SaysWhatWasForgotten(t *testing.T) {
	base := serve(t, &sources{}, pictures{fixed}, func(c *Config) { c.PurgeToken = "token" })
	answer, err := Purge(base+"/", "token", []string{"a", "b"}, time.Minute)
	const a, b, of = "61", "62", "00000000000000000000000000000000000000000000000000000000000000"
	want := `{"purged":[{"file":"a","content":["sha256:` + a + of + `","sha256:01` + of + `"]},` +
		`{"file":"b","content":["sha256:` + b + of + `","sha256:01` + of + `"]}]}` + "\n"
	if err != nil || string(answer) != want {
		t.Errorf("got %s, %v\nwant %s", answer, err, want)
	}
	if _, err := Purge(base, "wrong", []string{"a"}, time.Minute); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "403") {
		t.Errorf("with a wrong token: %v", err)
	}
	if _, err := Purge("http://127.0.0.1:1", "token", []string{"a"}, time.Minute); !fault.Is(err, fault.Unavailable) {
		t.Errorf("where nobody is: %v", err)
	}
}

func TestPurge_RefusesWhatItCannotRead(t *testing.T) {
	base := serve(t, &sources{}, pictures{fixed}, func(c *Config) { c.PurgeToken = "token" })
	many := `{"files":["a"` + strings.Repeat(`,"a"`, maxPurged) + `]}`
	for body, want := range map[string]int{
		"": 400, "a.jpg": 400, "{}": 400, `{"files":[]}`: 400, `{"files":"a"}`: 400, `{"files":["bad"]}`: 403, many: 400,
	} {
		if status, text := post(t, base+"/purge", body, "Authorization", "Bearer token"); status != want {
			t.Errorf("%.40s: %d %s, want %d", body, status, text, want)
		}
	}

	// Refused while it is sent: the connection may be gone before the answer is read.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/purge", strings.NewReader(strings.Repeat("x", 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer token")
	answer, err := http.DefaultClient.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
	case err != nil:
		t.Error(err)
	default:
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body of 2 MiB: %d, want 413", answer.StatusCode)
		}
	}
}
