package svg

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const samples = "../../../shared/data/samples"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(samples, name))
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: data/samples/" + name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// clean sanitises with every picture inside kept as it is.
func clean(file string) (string, error) {
	o := DefaultOptions()
	o.Embedded = keep
	var b bytes.Buffer
	err := Sanitise(&b, strings.NewReader(file), o)
	return b.String(), err
}

func keep(mime string, data []byte) ([]byte, string, error) { return data, mime, nil }

// in puts body into an svg element, and within takes it out again.
func in(body string) string {
	return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">` + body + `</svg>`
}

func within(t *testing.T, file string) string {
	t.Helper()
	got, err := clean(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	const head, tail = `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<svg xmlns="http://www.w3.org/2000/svg"`, `</svg>`
	body, ok := strings.CutPrefix(got, head)
	if !ok {
		t.Fatalf("%s begins otherwise", got)
	}
	if body == "/>" {
		return ""
	}
	body, ok = strings.CutSuffix(strings.TrimPrefix(body, ">"), tail)
	if !ok {
		t.Fatalf("%s ends otherwise", got)
	}
	return body
}

var (
	schemed   = regexp.MustCompile(`^[\x00-\x20]*[A-Za-z0-9+.-]+:`)
	cssURL    = regexp.MustCompile(`(?is)url\(([^)]*)(\)?)`)
	embedded  = regexp.MustCompile(`^data:image/(jpeg|png|gif);base64,[A-Za-z0-9+/=]+$`)
	loaders   = regexp.MustCompile(`(?i)@import|image-set\(|expression\(|\\`)
	forbidden = map[string]bool{"script": true, "foreignobject": true, "metadata": true, "handler": true, "iframe": true,
		"embed": true, "object": true, "img": true, "html": true, "body": true, "form": true, "input": true, "audio": true, "video": true}
	inert = map[string]bool{"requiredFeatures": true, "requiredExtensions": true}
)

// dangers is the outside check: it reads a file with the XML parser of the
// standard library, which shares nothing with this room, and names what could
// run or load something from elsewhere.
func dangers(file []byte) (found []string) {
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	var path []string
	for d := xml.NewDecoder(bytes.NewReader(file)); ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(path) != 0 {
				say("open: %v", path)
			}
			return found
		}
		if err != nil {
			say("no XML: %v", err)
			return found
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if t.Name.Space != namespaceSVG || forbidden[strings.ToLower(t.Name.Local)] {
				say("element {%s}%s", t.Name.Space, t.Name.Local)
			}
			for _, a := range t.Attr {
				attributeDangers(say, a, len(path) == 1)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) > 0 && path[len(path)-1] == "style" {
				cssDangers(say, string(t))
			}
		case xml.ProcInst:
			if t.Target != "xml" {
				say("instruction %s", t.Target)
			}
		default:
			say("%T", t)
		}
	}
}

func attributeDangers(say func(string, ...any), a xml.Attr, root bool) {
	name := strings.ToLower(a.Name.Local)
	switch {
	case a.Name.Space == "" && name == "xmlns" && root && a.Value == namespaceSVG:
		return
	case a.Name.Space != "" || name == "xmlns":
		say("namespaced attribute {%s}%s", a.Name.Space, a.Name.Local)
	case strings.HasPrefix(name, "on"), name == "src", name == "action", name == "srcdoc":
		say("attribute %s", a.Name.Local)
	case name == "attributename" && (strings.Contains(strings.ToLower(a.Value), "href") || strings.HasPrefix(strings.ToLower(a.Value), "on")):
		say("animation of %s", a.Value)
	case name == "href" || name == "to" || name == "from" || name == "by" || name == "values":
		if !embedded.MatchString(a.Value) && outside(a.Value) {
			say("%s=%q", name, a.Value)
		}
	}
	if !inert[a.Name.Local] && styledAttributes[a.Name.Local] {
		cssDangers(say, a.Value)
	}
}

func cssDangers(say func(string, ...any), css string) {
	if m := loaders.FindString(css); m != "" {
		say("css %q", m)
	}
	for _, m := range cssURL.FindAllStringSubmatch(css, -1) {
		if m[2] == "" || strings.ContainsAny(m[1], "\"'( \t\r\n") || !embedded.MatchString(m[1]) && outside(m[1]) {
			say("css %q", m[0])
		}
	}
}

// outside says whether an address could leave the host of the file.
func outside(address string) bool {
	address = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(address)
	return strings.HasPrefix(strings.TrimSpace(address), "//") || schemed.MatchString(address) || strings.Contains(address, `\`)
}

// The check itself must see what it is there for.
func TestDangers_SeesWhatASanitiserMustRemove(t *testing.T) {
	for _, body := range []string{
		`<script/>`, `<g onload="x"/>`, `<a href="javascript:x"/>`, `<image href="//x/y"/>`, `<image href="http://x/y"/>`,
		`<image href="java&#9;script:x"/>`, `<image href="data:text/html,x"/>`, `<image href="data:image/svg+xml;base64,PHN2Zz4="/>`,
		`<g fill="url(http://x)"/>`, `<g fill="URL( '//x')"/>`, `<style>@import "x"</style>`, `<style>a{b:ur\l(x)}</style>`,
		`<g xlink:href="x"/>`, `<x xmlns="y"/>`, `<!-- x -->`, `<?x y?>`, `<animate attributeName="href"/>`, `<set to="javascript:x"/>`,
	} {
		if found := dangers([]byte(in(body))); len(found) < 2 { // xmlns:xlink is one
			t.Errorf("%s: nothing found", body)
		}
	}
	if found := dangers([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><image href="/a" fill="url(#b)"/></svg>`)); len(found) != 0 {
		t.Errorf("harmless, and yet %v", found)
	}
}
