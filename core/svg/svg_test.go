package svg

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"focal/core/fault"
)

// svg-hush's own vector, byte for byte but for one thing: it keeps the spelling
// of a picture's data: URL, and here what Embedded returns stands in base64.
func TestSanitise_AgreesWithSvgHush(t *testing.T) {
	want := strings.Replace(string(sample(t, "svg/malicious/svg-hush-expected.svg")),
		"data:image/gif,GIF89a", "data:image/gif;base64,"+base64.StdEncoding.EncodeToString([]byte("GIF89a")), 1)
	got, err := clean(string(sample(t, "svg/malicious/svg-hush-input.svg")))
	if err != nil {
		t.Fatal(err)
	}
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Errorf("%d lines, want %d", len(g), len(w))
	}
}

func TestSanitise_LeavesNothingToRunOrLoad(t *testing.T) {
	refused := map[string]fault.Kind{
		"sanitizer-badXmlTestOne.svg": fault.Corrupt,     // an element is not closed
		"sanitizer-ariaDataTest.svg":  fault.Unsupported, // the root is in no namespace
	}
	files := malicious(t)
	for name, file := range files {
		got, err := clean(string(file))
		if kind, no := refused[name]; no {
			if !fault.Is(err, kind) {
				t.Errorf("%s: %v, want %v", name, err, kind)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if found := dangers([]byte(got)); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
		if again, err := clean(got); err != nil || again != got {
			t.Errorf("%s: a second pass changes it (%v)", name, err)
		}
	}
	if len(files) < 17 {
		t.Errorf("%d hostile samples", len(files))
	}
}

// What goes from the two good samples is metadata and namespaced attributes.
func TestSanitise_KeepsTheElementsOfGoodFiles(t *testing.T) {
	for _, name := range []string{"svg/logo.svg", "svg/c2pa-sample1.svg"} {
		file := sample(t, name)
		got, err := clean(string(file))
		if err != nil {
			t.Fatal(err)
		}
		if before, after := drawn(t, file), drawn(t, []byte(got)); len(before) == 0 || !maps.Equal(before, after) {
			t.Errorf("%s: %v became %v", name, before, after)
		}
		if found := dangers([]byte(got)); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// drawn counts the elements of a file, and their path data and styles, outside
// metadata and other namespaces.
func drawn(t *testing.T, file []byte) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(file)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return counts
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if e.Name.Space != namespaceSVG || e.Name.Local == "metadata" {
			if err := d.Skip(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		counts[e.Name.Local]++
		for _, a := range e.Attr {
			if a.Name.Space == "" && a.Name.Local != "xmlns" {
				counts[e.Name.Local+" "+a.Name.Local+"="+a.Value]++
			}
		}
	}
}

// The right column is what §7.2 of the fact sheet asks for.
func TestSanitise_FollowsTheRules(t *testing.T) {
	for _, c := range []struct{ rule, body, want string }{
		{"an unknown element goes with what is in it", `<p>x<rect/></p><g/>`, `<g/>`},
		{"foreignObject too", `<foreignObject><rect/></foreignObject>`, ``},
		{"a prefix goes", `<s:g xmlns:s="http://www.w3.org/2000/svg"><s:rect/></s:g>`, `<g><rect/></g>`},
		{"another default namespace", `<g xmlns="x"><rect/></g>`, ``},
		{"the namespace comes back", `<x xmlns="x"/><rect/>`, `<rect/>`},
		{"no namespace is none", `<g xmlns=""/>`, ``},
		{"names have their case", `<RECT/><Script/>`, ``},
		{"on…", `<g onclick="x" ONLOAD="y" id="z"/>`, `<g id="z"/>`},
		{"attributes are sorted", `<rect y="1" x="2" height="3"/>`, `<rect height="3" x="2" y="1"/>`},
		{"data-* and aria-*", `<g data-a.b="1" aria-label="é" data-é="2" aria-é="3" data-="4"/>`, `<g aria-label="é" data-a.b="1"/>`},
		{"a link loses its address", `<a href="#x" fill="red">t</a>`, `<a fill="red">t</a>`},
		{"the first href wins", `<use href="#a" xlink:href="#b"/><use xlink:href="#a" href="#b"/>`, `<use href="#a"/><use href="#a"/>`},
		{"an unbound prefix", `<use y:href="#a"/><y:use/>`, `<use/>`},
		{"hosts go", `<image href="http://x/a.jpg"/>`, `<image href="/a.jpg"/>`},
		{"…with ports and users", `<image href="HTTPS://u:p@x:8/a?b#c"/>`, `<image href="/a?b#c"/>`},
		{"a bare host", `<image href="http://x"/><image href="http://x/"/>`, `<image/><image/>`},
		{"javascript", `<image href="javascript:x"/><image href=" jAvA&#10;script:x"/>`, `<image/><image/>`},
		{"blob, file", `<image href="blob:http://x/1"/><image href="file:///x"/>`, `<image/><image/>`},
		{"a path that is a host", `<image href="http://x//y/z"/><image href="/.//y/z"/><image href="a/..//y"/>`, `<image/><image/><image/>`},
		{"backslashes", `<image href="\\x\y"/><image href="/\x"/>`, `<image/><image/>`},
		{"colons and parentheses", `<image href="a/b:c(d)"/>`, `<image href="a/b%3ac%28d%29"/>`},
		{"an endless address", `<image href="` + strings.Repeat("a/", 1<<16) + `"/>`, `<image/>`},
		{"dots", `<image href="./a/../b/./c"/><image href="../a"/>`, `<image href="b/c"/><image href="../a"/>`},
		{"a fragment keeps its colon", `<use href="#a:b"/>`, `<use href="#a:b"/>`},
		{"data: on use", `<use href="data:image/png;base64,AAAA"/>`, `<use/>`},
		{"data: of another type", `<image href="data:image/svg+xml,x"/><image href="data:image/webp;base64,AAAA"/>`, `<image/><image/>`},
		{"data: of text in base64", `<image href="data:text/html;base64,AAAA"/>`, `<image/>`},
		{"data: in CSS", `<g style="fill:url('data:image/png;base64,AA AA')"/>`, `<g style="fill:url(data:image/png;base64,AAAA)"/>`},
		{"data: that is broken", `<image href="data:image/png;base64,%%%"/><image href="data:image/png;base64"/>`, `<image/><image/>`},
		{"url", `<g fill="url(http://x/y#z)"/>`, `<g fill="url(/y#z)"/>`},
		{"url that is not closed", `<g fill="url(#a"/>`, `<g fill="url(#a)"/>`},
		{"a bad url in CSS", `<g style="fill:url(javascript:x)"/>`, `<g style="fill:url(#)"/>`},
		{"@import inside url", `<g fill="url(@im&#10;port)"/>`, `<g fill="url(#)"/>`},
		{"@import with url", `<style>@import url(//x/y);a{b:c}</style>`, `<style>;a{b:c}</style>`},
		{"@IMPORT", `<style>@IMPORT "x";a{b:c}</style>`, `<style>a{b:c}</style>`},
		{"strings that load", `<style>a{b:image-set("//x" 1x)}</style>`, `<style>a{"//x" 1x)}</style>`},
		{"an empty style element", `<style/>`, `<style></style>`},
		{"an animated link", `<animate attributeName="href" to="javascript:x"/>`, `<animate/>`},
		{"an animated xlink", `<set attributeName="xlink:href" to="//x"/>`, `<set/>`},
		{"an animated fill", `<set attributeName=" fill " to="url(//x/y)"/>`, `<set attributeName="fill" to="url(/y)"/>`},
		{"comments and instructions", `<!-- x --><?x y?><g><!-->x--></g>`, `<g/>`},
		{"CDATA is text", `<text><![CDATA[a<b]]]]><![CDATA[>&amp;]]></text>`, `<text>a&lt;b]]&gt;&amp;amp;</text>`},
		{"characters", `<text a="b" id="&#65;&#x42;&lt;&#10;'">&#x43;&gt;&quot;</text>`, `<text id="AB&lt;&#xA;&apos;">C&gt;"</text>`},
		{"line ends", "<text>a\r\nb\rc</text>", "<text>a\nb\nc</text>"},
	} {
		if got := within(t, in(c.body)); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.rule, c.body, got, c.want)
		}
	}
}

func TestSanitise_RefusesWhatIsNoSVG(t *testing.T) {
	for _, c := range []struct {
		name, file string
		kind       fault.Kind
	}{
		{"nothing", "", fault.Corrupt},
		{"no XML", "GIF89a", fault.Corrupt},
		{"HTML", "<html><svg xmlns='http://www.w3.org/2000/svg'/></html>", fault.Unsupported},
		{"no namespace", "<svg/>", fault.Unsupported},
		{"another root", "<g xmlns='http://www.w3.org/2000/svg'/>", fault.Unsupported},
		{"another encoding", "<?xml version='1.0' encoding='utf-7'?><svg/>", fault.Unsupported},
		{"cut", in("<g>")[:90], fault.Corrupt},
		{"not closed", in("<g>"), fault.Corrupt},
		{"crossed", in("<g><a></g></a>"), fault.Corrupt},
		{"two roots", in("") + in(""), fault.Corrupt},
		{"text behind", in("") + "x", fault.Corrupt},
		{"an attribute twice", in("<g id='a' id='b'/>"), fault.Corrupt},
		{"no quotes", in("<g id=a/>"), fault.Corrupt},
		{"no UTF-8", in("\xff"), fault.Corrupt},
		{"NUL", in("\x00"), fault.Corrupt},
		{"&#0;", in("&#0;"), fault.Corrupt},
		{"an unknown entity", in("&nbsp;"), fault.Corrupt},
		{"an external entity", "<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + in("&x;"), fault.Corrupt},
		{"a document type inside", in("<!DOCTYPE svg>"), fault.Corrupt},
	} {
		if _, err := clean(c.file); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
}

// Each file is past one limit, and the error names it.
func TestSanitise_NamesTheLimitThatAFilePasses(t *testing.T) {
	laughs := `<!DOCTYPE svg [<!ENTITY a "` + strings.Repeat("ha", 500) + `"><!ENTITY b "` + strings.Repeat("&a;", 100) +
		`"><!ENTITY c "` + strings.Repeat("&b;", 100) + `">]>` + in("&c;&c;&c;")
	var attributes strings.Builder
	for i := range 201 {
		attributes.WriteString(" data-a" + strings.Repeat("a", i) + "=''")
	}
	o := DefaultOptions()
	o.MaxBytes, o.MaxValueBytes = 1<<20, 1<<16 // for speed; the others are the defaults
	for limit, file := range map[string]string{
		"MaxBytes":       in(strings.Repeat(" ", 1<<20)),
		"MaxDepth":       in(strings.Repeat("<g>", 300)),
		"MaxAttributes":  in("<g" + attributes.String() + "/>"),
		"MaxNameBytes":   in("<" + strings.Repeat("g", 1001) + "/>"),
		"MaxValueBytes":  in("<g id='" + strings.Repeat("g", 1<<16+1) + "'/>"),
		"MaxEntityBytes": laughs,
		"MaxEntityDepth": `<!DOCTYPE svg [<!ENTITY a "&b;"><!ENTITY b "&a;">]>` + in("&a;"),
	} {
		err := Sanitise(io.Discard, strings.NewReader(file), o)
		if !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), limit) {
			t.Errorf("%s: %v", limit, err)
		}
	}
	sheet := in("<style>" + strings.Repeat("a<g/>", 1<<16+1) + "</style>")
	if err := Sanitise(io.Discard, strings.NewReader(sheet), o); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a style sheet: %v", err)
	}
	if err := (Options{}).Validate(); !fault.Is(err, fault.Invalid) {
		t.Errorf("options without limits: %v", err)
	}
}

// Drawing programs keep colours and namespaces in entities; they become text,
// never markup.
func TestSanitise_ExpandsDeclaredEntitiesToText(t *testing.T) {
	const doctype = `<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x/svg11.dtd" [
		<!-- ]> ' --> <?x ]>?> <!ELEMENT a (b|c)*> <!ENTITY % p "q"> %p;
		<!ENTITY ns "http://www.w3.org/2000/svg"> <!ENTITY red 'fill:&r;'> <!ENTITY r "#F00"> <!ENTITY r "blue">
		<!ENTITY bad "<script>x&#60;/script>">
	]>`
	got := within(t, doctype+`<svg xmlns="&ns;"><g style="&red;"/><text>&bad;</text></svg>`)
	if want := `<g style="fill:#F00"/><text>&lt;script&gt;x&lt;/script&gt;</text>`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSanitise_ReadsTheUsualEncodings(t *testing.T) {
	utf16 := func(s string, high, low int) string {
		b := make([]byte, 2*len(s))
		for i := range len(s) {
			b[2*i+high], b[2*i+low] = 0, s[i]
		}
		return string(b)
	}
	const doc = `<svg xmlns="http://www.w3.org/2000/svg">x</svg>`
	for _, c := range []struct{ name, file, want string }{
		{"UTF-8 with a mark", "\xef\xbb\xbf" + doc, "x"},
		{"UTF-16 LE with a mark", "\xff\xfe" + utf16(doc, 1, 0), "x"},
		{"UTF-16 BE with a mark", "\xfe\xff" + utf16(doc, 0, 1), "x"},
		{"UTF-16 LE", utf16(`<?xml version="1.0" encoding="utf-16"?>`+doc, 1, 0), "x"},
		{"UTF-16 BE", utf16(`<?xml version="1.0" encoding="utf-16"?>`+doc, 0, 1), "x"},
		{"Latin-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + strings.Replace(doc, "x<", "\xe9<", 1), "é"},
		{"Windows-1251", `<?xml version='1.0' encoding='windows-1251'?>` + strings.Replace(doc, "x<", "\xc6<", 1), "Ж"},
		{"Shift_JIS", `<?xml version="1.0" encoding="Shift_JIS"?>` + strings.Replace(doc, "x<", "\x93\xfa<", 1), "日"},
		{"a wrong claim of UTF-16", `<?xml version="1.0" encoding="UTF-16"?>` + strings.Replace(doc, "x<", "é<", 1), "é"},
	} {
		if got := within(t, c.file); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSanitise_GivesPicturesToTheHook(t *testing.T) {
	file := in(`<image href="data:image/JPG;charset=x;base64,/9j/&#10;4A=="/><g style="fill:url(data:image/gif,%47IF)"/>`)
	for _, c := range []struct {
		name     string
		embedded func(string, []byte) ([]byte, string, error)
		want     string
	}{
		{"none", nil, `<image/><g style="fill:url(#)"/>`},
		{"an error", func(string, []byte) ([]byte, string, error) { return nil, "", errors.New("no picture") }, `<image/><g style="fill:url(#)"/>`},
		{"another type", func(string, []byte) ([]byte, string, error) { return []byte("x"), "image/svg+xml", nil }, `<image/><g style="fill:url(#)"/>`},
		{"another picture", func(mime string, data []byte) ([]byte, string, error) {
			return []byte(mime + " " + string(data)), "image/png", nil
		}, `<image href="data:image/png;base64,` + base64.StdEncoding.EncodeToString([]byte("image/jpeg \xff\xd8\xff\xe0")) +
			`"/><g style="fill:url(data:image/png;base64,` + base64.StdEncoding.EncodeToString([]byte("image/gif GIF")) + `)"/>`},
	} {
		o := DefaultOptions()
		o.Embedded = c.embedded
		var b bytes.Buffer
		if err := Sanitise(&b, strings.NewReader(file), o); err != nil || !strings.Contains(b.String(), c.want) {
			t.Errorf("%s: %s %v\nwant %s", c.name, b.String(), err, c.want)
		}
	}
}

// tail is a reader that looks at its end what has been written by then.
type tail struct {
	r       io.Reader
	written *bytes.Buffer
	then    int
}

func (r *tail) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil {
		r.then = r.written.Len()
	}
	return n, err
}

func TestSanitise_WritesWhileItReads(t *testing.T) {
	file := in(strings.Repeat(`<rect x="1"/>`, 100_000))
	var out bytes.Buffer
	r := &tail{r: strings.NewReader(file), written: &out}
	if err := Sanitise(&out, r, DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	if held := out.Len() - r.then; held > 100<<10 {
		t.Errorf("at the end of the input %d of %d bytes were still held", held, out.Len())
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSanitise_ReturnsTheWritersError(t *testing.T) {
	gone := errors.New("gone")
	if err := Sanitise(failing{gone}, strings.NewReader(in("<g/>")), DefaultOptions()); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestUnzip_ReadsSVGZWithinItsLimit(t *testing.T) {
	plain := sample(t, "svg/logo.svg")
	if len(plain) == 0 {
		t.Fatal("empty sample")
	}
	unzip := func(file []byte, most int64) (string, error) {
		r, err := Unzip(bytes.NewReader(file), most)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		return string(b), err
	}
	if got, err := unzip(plain, 10); err != nil || got != string(plain) {
		t.Errorf("a plain file: %d bytes, %v", len(got), err)
	}
	zipped := sample(t, "svg/logo.svgz")
	if file, err := unzip(zipped, 1<<20); err != nil {
		t.Error(err)
	} else if _, err := clean(file); err != nil {
		t.Error(err)
	}
	if _, err := unzip(zipped[:len(zipped)/2], 1<<20); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a cut file: %v", err)
	}
	// The sample is whole gzip of JSON, with garbage behind.
	if file, err := unzip(sample(t, "broken/truncated.svgz"), 1<<20); err != nil {
		t.Error(err)
	} else if _, err := clean(file); !fault.Is(err, fault.Corrupt) {
		t.Errorf("no SVG inside: %v", err)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, werr := z.Write(make([]byte, 1<<20))
	if err := errors.Join(werr, z.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := unzip(bomb.Bytes(), 1<<20-1); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a bomb: %v", err)
	}
}

// Pieces that hostile files are made of, put together at random.
func TestSanitise_IsIdempotentAndSafe(t *testing.T) {
	pieces := []string{"url(", "URL ('", ")", "(", "'", "&quot;", `\`, "//x", "/", "..", ".", ":", "http://x", "javascript:", "@import ", ";", "{", "}",
		"data:image/png;base64,AA==", "#a", "%2f", "?", " ", "&#10;", "é", "image-set(", "a"}
	attributes := []string{"href", "xlink:href", "fill", "style", "to", "attributeName", "onload", "id"}
	names := []string{"image", "use", "a", "style", "animate", "script", "x:g", "g"}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "elements") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			b.WriteString("<" + name)
			for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom(attributes), 0, 3, rapid.ID).Draw(t, "attributes") {
				b.WriteString(" " + a + `="` + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "value"), "") + `"`)
			}
			b.WriteString(">" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "text"), "") + "</" + name + ">")
		}
		if p := flaw(in(b.String())); p != "" {
			t.Fatal(p)
		}
	})
}

func FuzzSanitise(f *testing.F) {
	for _, file := range malicious(f) {
		f.Add(string(file))
	}
	f.Add(`<!DOCTYPE svg [<!ENTITY a "&#60;b">]>` + in(`<image href="data:image/png;base64,AA=="/>&a;<![CDATA[]]]]>`))
	f.Add(in(`<style>a{b:url( '//x' )}@import "y";</style><set attributeName="fill" to="url(a:b)"/>`))
	f.Fuzz(func(t *testing.T, file string) {
		if p := flaw(file); p != "" {
			t.Error(p)
		}
	})
}

// FuzzBody spares the fuzzer the root.
func FuzzBody(f *testing.F) {
	f.Add(`<g fill="url(x)" style="a:b;url('c')"><use xlink:href="//x/../y:z"/></g>`)
	f.Fuzz(func(t *testing.T, body string) {
		if p := flaw(in(body)); p != "" {
			t.Error(p)
		}
	})
}

// flaw sanitises a file and tells a promise that the result breaks.
func flaw(file string) string {
	got, err := clean(file)
	if err != nil {
		if !slices.Contains([]fault.Kind{fault.Corrupt, fault.Unsupported, fault.TooLarge}, fault.KindOf(err)) {
			return "an error of kind " + fault.KindOf(err).String() + ": " + err.Error()
		}
		return ""
	}
	if found := dangers([]byte(got)); len(found) > 0 {
		return strings.Join(found, "; ") + " in " + got
	}
	if again, err := clean(got); err != nil || again != got {
		return "not idempotent: " + got + "\nthen " + again
	}
	return ""
}

// malicious reads the hostile samples; without ../shared there are none.
func malicious(t testing.TB) map[string][]byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(samples, "svg/malicious/*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if _, isTest := t.(*testing.T); isTest && len(found) == 0 {
		t.Skip("needs ../shared: data/samples/svg/malicious")
	}
	files := map[string][]byte{}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(f)] = b
	}
	return files
}

// BenchmarkSanitise: a plain drawing of 10 MB.
func BenchmarkSanitise(b *testing.B) {
	file := in(strings.Repeat(`<path d="M1 2C3 4 5 6 7 8" style="fill:red" transform="matrix(1 0 0 1 0 0)"/>`, 130_000))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if err := Sanitise(io.Discard, strings.NewReader(file), DefaultOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
