package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"focal/core/pipeline"
)

// wire is a connection as a client holds it: what it writes goes over as it is.
type wire struct {
	*net.TCPConn
	in *bufio.Reader
}

func dial(t *testing.T, base string) wire {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // for failures only
		t.Fatal(err)
	}
	return wire{conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func (w wire) send(t *testing.T, text string) {
	t.Helper()
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// answer reads the next answer, to a request of the method.
func (w wire) answer(t *testing.T, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// One write with everything that could put answers out of step: errors, a HEAD
// whose length is not sent, bodies where none belongs.
func TestConnection_PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	base := gallery(t)
	requests := []struct {
		method, target, rest string
		status               int
	}{
		{"GET", "/cdn-cgi/image/width=60,format=png/card.png", "", 200},
		{"GET", "/cdn-cgi/image/width=30,format=webp/card.png", "", 200},
		{"GET", "/cdn-cgi/image/width=60/none.png", "", 404},
		{"HEAD", "/cdn-cgi/image/width=60,format=png/card.png", "", 200},
		{"HEAD", "/cdn-cgi/image/width=60/none.png", "", 404},
		{"GET", "/cdn-cgi/image/width=40/card.png", "Content-Length: 31\r\n\r\nGET /cdn-cgi/image/ HTTP/1.1\r\n\r\n", 200},
		{"GET", "/cdn-cgi/image/rotate=90/card.png", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200},
		{"POST", "/cdn-cgi/image/rotate=90/card.png", "Content-Length: 5\r\n\r\nhello", 405},
		{"GET", "/nothing", "", 404},
		{"GET", "/cdn-cgi/image/rotate=180/badge.png", "If-None-Match: *\r\n\r\n", 304},
		{"GET", "/cdn-cgi/image/rotate=180/badge.png", "", 200},
		{"GET", "/healthz", "", 200},
	}
	all := ""
	for _, r := range requests {
		rest := r.rest
		if rest == "" {
			rest = "\r\n"
		}
		all += r.method + " " + r.target + " HTTP/1.1\r\nHost: focal\r\n" + rest
	}
	conn := dial(t, base)
	for range 2 { // and the connection lives on
		conn.send(t, all)
		for i, r := range requests {
			resp, body := conn.answer(t, r.method)
			if resp.StatusCode != r.status {
				t.Fatalf("%d, %s %s: %d %q, want %d", i, r.method, r.target, resp.StatusCode, body, r.status)
			}
			if r.method == "POST" || r.status == 304 {
				continue
			}
			alone, want := do(t, r.method, base+r.target)
			if body != want || resp.ContentLength != alone.ContentLength || resp.Header.Get("Etag") != alone.Header.Get("Etag") {
				t.Errorf("%d, %s %s: %d bytes of %s, alone it gives %d of %s", i, r.method, r.target,
					len(body), resp.Header.Get("Etag"), len(want), alone.Header.Get("Etag"))
			}
		}
	}
}

// Who asks and does not read keeps nobody else waiting, and gets it all later.
func TestConnection_ASlowReaderCostsNobodyElse(t *testing.T) {
	picture := func(width int) []byte { return bytes.Repeat([]byte{byte(width)}, 1<<20) }
	base := serve(t, &sources{}, pictures{func(r pipeline.Request) (pipeline.Result, error) {
		return pipeline.Result{Body: picture(r.Options.Width), ContentType: "image/jpeg"}, nil
	}}, func(c *Config) { c.Admitted = 2 }) // one for it and one for the others
	conn := dial(t, base)
	if err := conn.SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	const times = 16 // of a megabyte: more than the buffers between hold
	for i := range times {
		conn.send(t, fmt.Sprintf("GET /cdn-cgi/image/width=%d/a.jpg HTTP/1.1\r\nHost: focal\r\n\r\n", 1+i))
	}
	if _, err := conn.in.Peek(1); err != nil { // it is being answered
		t.Fatal(err)
	}
	for range 3 {
		if resp, body := get(t, base+"/cdn-cgi/image/width=100/a.jpg"); resp.StatusCode != 200 || body != string(picture(100)) {
			t.Errorf("beside a slow reader: %d, %d bytes", resp.StatusCode, len(body))
		}
	}
	for i := range times {
		if resp, body := conn.answer(t, "GET"); resp.StatusCode != 200 || body != string(picture(1+i)) {
			t.Fatalf("answer %d: %d, %d bytes", i, resp.StatusCode, len(body))
		}
	}
}

// A client that has nothing more to say still hears the answers to what it said.
func TestConnection_AHalfClosedOneIsAnswered(t *testing.T) {
	base := gallery(t)
	conn := dial(t, base)
	conn.send(t, "GET /cdn-cgi/image/width=60,format=png/card.png HTTP/1.1\r\nHost: focal\r\n\r\n"+
		"GET /cdn-cgi/image/width=60/none.png HTTP/1.1\r\nHost: focal\r\n\r\n")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, body := conn.answer(t, "GET")
	if _, want := get(t, base+"/cdn-cgi/image/width=60,format=png/card.png"); resp.StatusCode != 200 || body != want {
		t.Errorf("the first: %d, %d bytes", resp.StatusCode, len(body))
	}
	if resp, body := conn.answer(t, "GET"); resp.StatusCode != 404 || !strings.HasPrefix(body, "ERROR 9404: ") {
		t.Errorf("the second: %d %q", resp.StatusCode, body)
	}
	if rest, err := io.ReadAll(conn.in); err != nil || len(rest) > 0 {
		t.Errorf("after the last: %q, %v", rest, err)
	}

	// Cut in the middle of a request: no answer of ours is lost for others.
	conn = dial(t, base)
	conn.send(t, "GET /cdn-cgi/image/width=60,format=png/card.png HTTP/1.1\r\nHo")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn.in); err != nil || bytes.Contains(rest, []byte(" 200 ")) {
		t.Errorf("half a request: %q, %v", rest, err)
	}
	if resp, _ := get(t, base+"/cdn-cgi/image/width=60,format=png/card.png"); resp.StatusCode != 200 {
		t.Errorf("after half a request: %d", resp.StatusCode)
	}
}

// HTTP/1.0 and Connection: close end the connection behind the answer.
func TestConnection_EndsWhereTheClientSaysSo(t *testing.T) {
	base := gallery(t)
	for _, head := range []string{"HTTP/1.1\r\nHost: focal\r\nConnection: close\r\n\r\n", "HTTP/1.0\r\n\r\n"} {
		conn := dial(t, base)
		conn.send(t, fmt.Sprintf("GET /cdn-cgi/image/width=60/card.png %s", head))
		if resp, body := conn.answer(t, "GET"); resp.StatusCode != 200 || len(body) != int(resp.ContentLength) {
			t.Errorf("%q: %d, %d bytes", head, resp.StatusCode, len(body))
		}
		if rest, err := io.ReadAll(conn.in); err != nil || len(rest) > 0 {
			t.Errorf("%q: then %q, %v", head, rest, err)
		}
	}
}
