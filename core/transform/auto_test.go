package transform

import "testing"

// The rules of cloudflare-api.md §1.5, and contract.md where it is silent.
func TestResolve_ChoosesTheWidth(t *testing.T) {
	viewport, device := Asked{Viewport: true}, Asked{Viewport: true, Device: true}
	for _, c := range []struct {
		list  string
		hints Hints
		want  int
		asked Asked
	}{
		{"width=auto", Hints{Viewport: 100}, 320, viewport},
		{"width=auto", Hints{Viewport: 320}, 320, viewport},
		{"width=auto", Hints{Viewport: 321}, 768, viewport},
		{"width=auto", Hints{Viewport: 390, DPR: 2}, 960, viewport}, // 780
		{"width=auto", Hints{Viewport: 390, DPR: 1.5}, 768, viewport},
		{"width=auto", Hints{Viewport: 5000}, 1200, viewport},
		{"width=auto,dpr=2", Hints{Viewport: 390, DPR: 3}, 768, viewport},
		{"width=auto,wbreakpoints=900;100;500;100", Hints{Viewport: 101}, 500, viewport},
		{"width=auto,wbreakpoints=900;100;500", Hints{Viewport: 901}, 900, viewport},
		{"width=auto", Hints{}, 1200, device},
		{"width=auto", Hints{Mobile: true}, 768, device},
		{"width=auto", Hints{Mobile: true, DPR: 3}, 768, device},
		{"width=auto,wmobile=400,wdesktop=2000", Hints{Mobile: true}, 400, device},
		{"width=auto,wmobile=400,wdesktop=2000", Hints{}, 2000, device},
		{"width=200", Hints{Viewport: 390, Mobile: true, Slow: true}, 200, Asked{}},
	} {
		got, asked := mustParse(t, c.list).Resolve(c.hints)
		if got.Width != c.want || asked != c.asked || got.Auto != (Auto{}) {
			t.Errorf("%s for %+v: got %+v, asked %+v; want width %d, %+v", c.list, c.hints, got, asked, c.want, c.asked)
		}
	}
}

func TestResolve_LowersTheQualityOfSlowConnections(t *testing.T) {
	for list, want := range map[string][2]int{ // on a fast and a slow connection
		"scq=50":                                {0, 50},
		"quality=80,slow-connection-quality=50": {80, 50},
		"quality=80,scq=low":                    {80, 35},
		"quality=80":                            {80, 80},
	} {
		for i, slow := range []bool{false, true} {
			got, asked := mustParse(t, list).Resolve(Hints{Slow: slow})
			if got.Quality != want[i] || got.SlowQuality != 0 || asked.Connection != (list != "quality=80") {
				t.Errorf("%s, slow %v: got %+v, asked %+v", list, slow, got, asked)
			}
		}
	}
}
