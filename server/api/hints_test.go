package api

import (
	"strings"
	"testing"

	"focal/core/pipeline"
	"focal/core/transform"
)

// saying makes a client of pairs of header and value.
func saying(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if strings.EqualFold(pairs[i], name) {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestHints_AreRead(t *testing.T) {
	const phone = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36"
	for _, c := range []struct {
		headers []string
		want    transform.Hints
	}{
		{nil, transform.Hints{}},
		{[]string{"Sec-CH-Viewport-Width", "390", "Sec-CH-DPR", "2.625"}, transform.Hints{Viewport: 390, DPR: 2.625}},
		{[]string{"Viewport-Width", "800", "DPR", "1.0"}, transform.Hints{Viewport: 800, DPR: 1}},
		{[]string{"Viewport-Width", "800", "Sec-CH-Viewport-Width", "390"}, transform.Hints{Viewport: 390}},
		{[]string{"Viewport-Width", "800", "Sec-CH-Viewport-Width", "wide"}, transform.Hints{Viewport: 800}},
		{[]string{"Sec-CH-Viewport-Width", "-5", "Sec-CH-DPR", "1e3"}, transform.Hints{}},
		{[]string{"Sec-CH-Viewport-Width", "99999999999999999999"}, transform.Hints{}},
		{[]string{"User-Agent", phone}, transform.Hints{Mobile: true}},
		{[]string{"User-Agent", phone, "Sec-CH-UA-Mobile", "?0"}, transform.Hints{}},
		{[]string{"Sec-CH-UA-Mobile", "?1"}, transform.Hints{Mobile: true}},
		{[]string{"RTT", "150"}, transform.Hints{}},
		{[]string{"RTT", "151"}, transform.Hints{Slow: true}},
		{[]string{"Downlink", "5"}, transform.Hints{}},
		{[]string{"Downlink", "4.9"}, transform.Hints{Slow: true}},
		{[]string{"Downlink", "0.0"}, transform.Hints{Slow: true}},
		{[]string{"ECT", "4g"}, transform.Hints{}},
		{[]string{"ECT", "3g"}, transform.Hints{Slow: true}},
		{[]string{"ECT", "slow-2g"}, transform.Hints{Slow: true}},
		{[]string{"Save-Data", "on"}, transform.Hints{Slow: true}},
		{[]string{"Save-Data", "off", "RTT", "?", "Downlink", "fast"}, transform.Hints{}},
	} {
		if got := hintsOf(saying(c.headers...)); got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.headers, got, c.want)
		}
	}
}

func TestImage_VariesOnTheHintsThatItUsed(t *testing.T) {
	seen := make(chan transform.Options, 1)
	p := pictures{func(r pipeline.Request) (pipeline.Result, error) {
		seen <- r.Options
		return fixed(r)
	}}
	base := serve(t, &sources{}, p, nil)
	for _, c := range []struct {
		options string
		headers []string
		vary    string
		want    transform.Options
	}{
		{"width=200", []string{"Sec-CH-Viewport-Width", "390"}, "Accept", transform.Options{Width: 200}},
		{"width=auto", []string{"Sec-CH-Viewport-Width", "390"}, "Accept, Sec-CH-Viewport-Width, Viewport-Width, Sec-CH-DPR, DPR", transform.Options{Width: 768}},
		{"width=auto", []string{"User-Agent", "Mobile"}, "Accept, Sec-CH-Viewport-Width, Viewport-Width, Sec-CH-DPR, DPR, Sec-CH-UA-Mobile, User-Agent", transform.Options{Width: 768}},
		{"width=5,scq=low", []string{"Save-Data", "on"}, "Accept, RTT, Save-Data, ECT, Downlink", transform.Options{Width: 5, Quality: 35}},
		{"width=5,scq=low", nil, "Accept, RTT, Save-Data, ECT, Downlink", transform.Options{Width: 5}},
	} {
		resp, _ := get(t, base+"/cdn-cgi/image/"+c.options+"/a.jpg", c.headers...)
		if got := <-seen; got != c.want {
			t.Errorf("%s with %q: made %+v, want %+v", c.options, c.headers, got, c.want)
		}
		if got := resp.Header.Get("Vary"); got != c.vary {
			t.Errorf("%s with %q: Vary %q, want %q", c.options, c.headers, got, c.vary)
		}
	}
}

func FuzzHints(f *testing.F) {
	f.Add("390", "2.5", "?1", "Mobile", "151", "on", "3g", "4.9")
	f.Add("1e9", "..", "", "\xff", "-1", "\x00", `"4g"`, "99999999999999999")
	f.Fuzz(func(t *testing.T, viewport, dpr, mobile, agent, rtt, save, ect, down string) {
		h := hintsOf(saying("Sec-CH-Viewport-Width", viewport, "Sec-CH-DPR", dpr, "Sec-CH-UA-Mobile", mobile,
			"User-Agent", agent, "RTT", rtt, "Save-Data", save, "ECT", ect, "Downlink", down))
		if h.Viewport < 0 || h.Viewport > largestNumber || !(h.DPR >= 0 && h.DPR <= largestNumber) {
			t.Fatalf("%+v", h)
		}
		o, _, err := transform.Parse("width=auto,scq=low")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ = o.Resolve(h); o.Width < 320 || o.Width > 1200 || o.Auto.Width {
			t.Fatalf("%+v gives %+v", h, o)
		}
	})
}
