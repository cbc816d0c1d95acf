package transform

import (
	"strings"
	"testing"
)

// Expected values are those of CSS Color 4; the hsl rows are the examples of
// its §7 and the plain hues.
func TestParseColour_ReadsCSS(t *testing.T) {
	rgb := func(r, g, b uint8) Colour { return Colour{r, g, b, 255, true} }
	rgba := func(r, g, b, a uint8) Colour { return Colour{r, g, b, a, true} }
	for s, want := range map[string]Colour{
		"#f00":      rgb(255, 0, 0),
		"#F00C":     rgba(255, 0, 0, 0xcc),
		"#1a2b3c":   rgb(0x1a, 0x2b, 0x3c),
		"#1A2B3C80": rgba(0x1a, 0x2b, 0x3c, 0x80),

		"red":           rgb(255, 0, 0),
		"White":         rgb(255, 255, 255),
		"rebeccapurple": rgb(0x66, 0x33, 0x99),
		"grey":          rgb(128, 128, 128),
		"transparent":   rgba(0, 0, 0, 0),

		"rgb(250,40,145)":           rgb(250, 40, 145),
		"rgb(250, 40, 145)":         rgb(250, 40, 145),
		"rgba(250,40,145,0.5)":      rgba(250, 40, 145, 128),
		"rgba(250,40,145,50%)":      rgba(250, 40, 145, 128),
		"rgb(250,40,145,.5)":        rgba(250, 40, 145, 128),
		"rgba(250,40,145)":          rgb(250, 40, 145),
		"rgb(250 40 145)":           rgb(250, 40, 145),
		"rgb(250 40 145 / 0.5)":     rgba(250, 40, 145, 128),
		"rgb(250 40 145/25%)":       rgba(250, 40, 145, 64),
		"rgb(100% 0% 50%)":          rgb(255, 0, 128),
		"rgb(300,-5,12.6)":          rgb(255, 0, 13),
		"rgb(none 40 145 / none)":   rgba(0, 40, 145, 0),
		"RGB(1,2,3)":                rgb(1, 2, 3),
		"hsl(0,100%,50%)":           rgb(255, 0, 0),
		"hsl(120deg,100%,50%)":      rgb(0, 255, 0),
		"hsl(120deg 100% 25%)":      rgb(0, 128, 0), // "dark green" of §7
		"hsl(240 100% 50%)":         rgb(0, 0, 255),
		"hsl(-120,100%,50%)":        rgb(0, 0, 255),
		"hsl(60 100 50)":            rgb(255, 255, 0),
		"hsl(0.5turn 100% 50%)":     rgb(0, 255, 255),
		"hsl(200grad 100% 50%)":     rgb(0, 255, 255),
		"hsl(3.14159265rad 100 50)": rgb(0, 255, 255),
		"hsla(0,0%,50%,0.5)":        rgba(128, 128, 128, 128),
		"hsl(30 0% 100% / 0)":       rgba(255, 255, 255, 0),
	} {
		if got, ok := parseColour(s); !ok || got != want {
			t.Errorf("parseColour(%q) = %v, %v; want %v", s, got, ok, want)
		}
	}
}

func TestParseColour_RefusesTheRest(t *testing.T) {
	for _, s := range []string{
		"", "#", "#12", "#12345", "#1234567", "#123456789", "#ggg", "#+12", "#1_2", "ff0000", "redd", "currentcolor",
		"rgb", "rgb(", "rgb()", "rgb(1,2)", "rgb(1,2,3,4,5)", "rgb(1 2)", "rgb(1 2 3 4)", "rgb(1 2 3 /)", "rgb(1,,3)",
		"rgb(a,b,c)", "rgb(1,2,3", "rgb(1,2,3))", "rgb(1e2,2,3)", "hsl(1px,1%,1%)", "cmyk(1,2,3)", "(1,2,3)", "rgb (1,2,3)",
	} {
		if got, ok := parseColour(s); ok {
			t.Errorf("parseColour(%q) = %v", s, got)
		}
	}
}

func TestColourNames_AreThoseOfCSS(t *testing.T) {
	// CSS Color 4, §6.1: 148 names, of which the greys and aqua, cyan,
	// fuchsia and magenta come in pairs.
	if len(colourNames) != 148 {
		t.Errorf("%d names, want 148", len(colourNames))
	}
	for a, b := range map[string]string{
		"aqua": "cyan", "fuchsia": "magenta", "gray": "grey", "darkgray": "darkgrey", "darkslategray": "darkslategrey",
		"dimgray": "dimgrey", "lightgray": "lightgrey", "lightslategray": "lightslategrey", "slategray": "slategrey",
	} {
		if colourNames[a] != colourNames[b] || colourNames[a] == 0 {
			t.Errorf("%s is %06x, %s is %06x", a, colourNames[a], b, colourNames[b])
		}
	}
}

func FuzzParseColour(f *testing.F) {
	for _, s := range []string{"#abc", "rgb(1 2 3 / 4%)", "hsla(1rad,2%,3%,0.4)", "teal"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseColour(s)
		if !ok {
			return
		}
		hex := strings.Replace(c.canonical(), "%23", "#", 1)
		if again, ok := parseColour(hex); !ok || again != c || !c.Set {
			t.Fatalf("parseColour(%q) = %v; as %q it is %v, %v", s, c, hex, again, ok)
		}
	})
}
