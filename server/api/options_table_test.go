package api

// optionCase is a URL and what it must give. The golden, the bytes of another
// URL, or a check says what the picture must be; an empty field of the rest says
// what is usual: card.png, a client that accepts nothing in particular, 200,
// image/png, no warning.
type optionCase struct {
	options, source string
	header          []string
	status          int
	mime, warning   string // the Warning, or what it holds
	golden          string // testdata/goldens/NAME.png
	same            string // options that give the same bytes
	check           func(body string, header func(string) string) bool
}

// colourCases are the forms of CSS Color 4, by the golden that shows what a
// background of that colour makes of badge.png.
var colourCases = map[string][]string{
	"on-pink": {"%23fa2891", "%23FA2891FF", "rgb(250,40,145)", "rgba(250,40,145,1)", "rgb(250%2040%20145)", "hsl(330,95.5%25,56.9%25)",
		"hsl(330%2095.5%25%2056.9%25)", "RGB(98%25,15.7%25,56.9%25)"},
	"on-half-pink": {"rgba(250,40,145,0.5)", "rgb(250%2040%20145%20/%2050%25)", "%23fa289180", "hsla(330,95.5%25,56.9%25,0.5)"},
	"on-red":       {"%23f00", "red", "Red", "hsl(360,100%25,50%25)", "hsl(1turn%20100%25%2050%25)"},
	"on-half-red":  {"%23f008"},
	"on-white":     {"white"},
	"badge":        {"transparent"},
}

const typePNG, typeJXL = "image/png", "image/jxl"

// optionCases has a case for every option, alias and value of docs/options.md.
var optionCases = []optionCase{
	// Sizes.
	{options: "width=60,format=png", golden: "small"},
	{options: "w=60,format=png", same: "width=60,format=png"},
	{options: "w=30,width=60,format=png", same: "width=60,format=png", warning: "more than once"}, // the long name wins
	{options: "width=100,format=png", golden: "width-100"},
	{options: "height=40,format=png", golden: "small"},
	{options: "h=40,format=png", same: "height=40,format=png"},
	{options: "width=30,dpr=2,format=png", golden: "small"},
	{options: "width=30,dpr=3,format=png", golden: "small", warning: "dpr is at most 2"},
	{options: "width=120", mime: "image/jpeg", golden: "card"},

	// A width that the screen decides.
	{options: "width=auto,wbreakpoints=60;100,format=png", header: []string{"Sec-CH-Viewport-Width", "50"}, golden: "small"},
	{options: "width=auto,wbreakpoints=60;100,format=png", header: []string{"Viewport-Width", "31", "DPR", "2"}, golden: "width-100"},
	{options: "width=auto,wbreakpoints=60;100,format=png", header: []string{"Sec-CH-Viewport-Width", "900"}, golden: "width-100"},
	{options: "width=auto,wmobile=60,wdesktop=100,format=png", header: []string{"Sec-CH-UA-Mobile", "?1"}, golden: "small"},
	{options: "width=auto,wmobile=60,wdesktop=100,format=png", golden: "width-100"},
	{options: "wmobile=60,format=png", golden: "card", warning: "need width=auto"},

	// Fits.
	{options: "width=60,height=60,fit=scale-down,format=png", golden: "small"},
	{options: "width=60,height=60,format=png", same: "width=60,height=60,fit=scale-down,format=png"},
	{options: "width=180,height=180,fit=scale-down,format=png", golden: "card"},
	{options: "width=180,height=180,fit=contain,format=png", golden: "contain"},
	{options: "width=60,fit=contain,format=png", golden: "small"},
	{options: "width=40,height=40,fit=cover,format=png", golden: "cover"},
	{options: "width=60,fit=cover,format=png", golden: "small", warning: "cover fit mode needs both width and height"},
	{options: "width=40,height=40,fit=crop,format=png", golden: "cover"},
	{options: "width=60,height=200,fit=crop,format=png", golden: "crop-narrow"},
	{options: "width=180,height=180,fit=crop,format=png", golden: "card"},
	{options: "width=200,height=200,fit=aspect-crop,format=png", golden: "aspect-crop"},
	{options: "width=40,height=40,fit=aspect-crop,format=png", golden: "cover"},
	{options: "width=60,height=60,fit=pad,format=png", golden: "pad"},
	{options: "width=30,height=30,fit=pad", source: "badge.png", golden: "pad-badge"},
	{options: "width=60,height=60,fit=pad,background=%23fa2891,format=png", golden: "pad-pink"},
	{options: "width=40,height=60,fit=squeeze,format=png", golden: "squeeze"},
	{options: "width=60,height=60,fit=scale-up,format=png", golden: "card"},
	{options: "width=180,height=180,fit=scale-up,format=png", golden: "contain"},
	{options: "width=180,fit=contain,upscale=interpolate,format=png", golden: "contain"},
	{options: "width=180,fit=contain,upscale=generate,format=png", golden: "contain", warning: "upscale=generate interpolates"},

	// Gravity.
	{options: "width=40,height=40,fit=cover,gravity=left,format=png", golden: "left"},
	{options: "width=40,height=40,fit=cover,g=left,format=png", same: "width=40,height=40,fit=cover,gravity=left,format=png"},
	{options: "width=40,height=40,fit=cover,gravity=right,format=png", golden: "right"},
	{options: "width=40,height=40,fit=cover,gravity=center,format=png", golden: "cover"},
	{options: "width=60,height=20,fit=cover,gravity=top,format=png", golden: "top"},
	{options: "width=60,height=20,fit=crop,gravity=bottom,format=png", golden: "bottom"},
	{options: "width=40,height=40,fit=aspect-crop,gravity=0.4x0.5,format=png", golden: "point"},
	{options: "width=40,height=40,fit=cover,gravity.x=0.4,format=png", golden: "point"},
	{options: "width=60,height=20,fit=cover,gravity.y=0.25,format=png", golden: "point-y"},
	{options: "width=40,height=40,fit=cover,gravity=0.4x0.5,gravity.mode=remainder,format=png", golden: "point"},
	{options: "width=40,height=40,fit=cover,gravity=0.4x0.5,gravity.mode=box-center,format=png", golden: "box-center"},
	{options: "width=80,height=80,fit=cover,gravity=auto,format=png", source: "spot.png", golden: "auto"},
	{options: "width=80,height=80,fit=cover,gravity=entropy,format=png", source: "spot.png", golden: "entropy"},

	// Faces.
	{options: "width=40,height=40,fit=cover,gravity=face,format=png", golden: "faces"},
	{options: "width=40,height=40,fit=cover,gravity=face,faces=all,format=png", golden: "faces"},
	{options: "width=40,height=40,fit=cover,gravity=face,faces=largest,format=png", golden: "face-largest"},
	{options: "width=40,height=40,fit=cover,gravity=face,faces=1,format=png", golden: "face-largest"},
	{options: "width=40,height=40,fit=cover,gravity=face,faces=2,format=png", golden: "face-second"},
	{options: "width=40,height=40,fit=cover,gravity=face,faces=3,format=png", golden: "cover", warning: "faces=3: only 2 were found"},
	{options: "width=40,height=40,fit=cover,gravity=face,face-min-score=0.05,format=png", golden: "face-low-score"},
	{options: "gravity=face,faces=largest,zoom=0.5,format=png", golden: "zoom-half"},
	{options: "gravity=face,faces=largest,face-zoom=0.5,format=png", same: "gravity=face,faces=largest,zoom=0.5,format=png"},
	{options: "gravity=face,faces=largest,face-padding=2,format=png", golden: "zoom-half"},
	{options: "gravity=face,faces=largest,zoom=1,format=png", golden: "zoom-whole"},
	{options: "zoom=0.5,width=60,format=png", golden: "small", warning: "gravity=face"},
	{options: "blur-faces=1,format=png", golden: "hidden"},
	{options: "blur-faces=1,face-min-score=0.05,format=png", golden: "hidden-all"},
	{options: "blur-faces=0,format=png", golden: "card"},

	// The subject.
	{options: "gravity=foreground,zoom=1,format=png", golden: "subject"},
	{options: "gravity=foreground,zoom=0.75,width=40,height=40,fit=cover,format=png", golden: "subject-zoom"},
	{options: "trim=foreground,format=png", golden: "subject"},
	{options: "segment=foreground", golden: "foreground"},
	{options: "segment=background", golden: "background"},
	{options: "mask=1", golden: "mask"},
	{options: "mask=1,segment=background", golden: "mask-background"},
	{options: "mask=0,format=png", golden: "card"},
	{options: "segment=foreground,shadow=-6;5;8", golden: "shadow"},
	{options: "segment=foreground,shadow=1", golden: "shadow-chosen"},
	{options: "segment=foreground,shadow=0", golden: "foreground"},
	{options: "segment=foreground,shadow=-6;5;8,shadow.color=red", golden: "shadow-red"},

	// Trim.
	{options: "trim=10;20;30;40,format=png", golden: "trim"},
	{options: "trim.top=10,trim.right=20,trim.bottom=30,trim.left=40,format=png", golden: "trim"},
	{options: "trim.top=10,trim.left=40,trim.width=60,trim.height=40,format=png", golden: "trim"},
	{options: "trim=0.125;0;0;0.25,format=png", golden: "trim-fraction"},
	{options: "trim.left=10,dpr=2,format=png", golden: "trim-dpr"},
	{options: "trim=border,format=png", source: "framed.png", golden: "inside"},
	{options: "trim=border,trim.border.color=white,format=png", source: "framed.png", golden: "inside"},
	{options: "trim=border,trim.border.color=white,trim.border.tolerance=5,format=png", source: "framed.png", golden: "inside"},
	{options: "trim=border,trim.border.color=white,trim.border.tolerance=4,format=png", source: "framed.png", golden: "framed"},
	{options: "trim=border,trim.border.keep=3,format=png", source: "framed.png", golden: "keep"},

	// Turns.
	{options: "rotate=0,format=png", golden: "card"},
	{options: "rotate=90,format=png", golden: "rotate-90"},
	{options: "rotate=180,format=png", golden: "rotate-180"},
	{options: "rotate=270,format=png", golden: "rotate-270"},
	{options: "rotate=360,format=png", golden: "card"},
	{options: "flip=h,format=png", golden: "flip-h"},
	{options: "flip=v,format=png", golden: "flip-v"},
	{options: "flip=hv,format=png", golden: "flip-hv"},
	{options: "format=png", source: "tagged.jpg", golden: "card"}, // turned as its EXIF says

	// Adjustments.
	{options: "brightness=1.5,format=png", golden: "brightness"},
	{options: "contrast=0.5,format=png", golden: "contrast"},
	{options: "gamma=2,format=png", golden: "gamma"},
	{options: "saturation=0,format=png", golden: "saturation"},
	{options: "sharpen=2,format=png", golden: "sharpen"},
	{options: "blur=8,format=png", golden: "blur"},
	{options: "brightness=0,contrast=0,gamma=0,sharpen=0,blur=0,format=png", golden: "card"},

	// Borders.
	{options: "width=60,border.width=4,format=png", golden: "border"},
	{options: "width=30,border.width=2,dpr=2,format=png", golden: "border"},
	{options: "width=60,border.left=8,border.top=2,border.right=4,border.bottom=6,border.color=orange,format=png", golden: "border-sides"},
	{options: "width=60,border.width=4,border.color=%230000ff80", golden: "border-half"},

	// Formats.
	{options: "quality=85,format=auto", header: []string{"Accept", chrome}, mime: "image/avif", golden: "card"},
	{options: "quality=85,format=auto", header: []string{"Accept", "image/webp"}, mime: "image/webp", golden: "card"},
	{options: "quality=85,format=auto", mime: "image/jpeg", golden: "card"},
	{options: "width=120,format=avif", mime: "image/avif", golden: "card"},
	{options: "width=120,format=webp", mime: "image/webp", golden: "card"},
	{options: "width=120,f=webp", mime: "image/webp", same: "width=120,format=webp"},
	{options: "width=120,format=jpeg", mime: "image/jpeg", golden: "card", check: progressive},
	{options: "width=120,format=jpg", mime: "image/jpeg", same: "width=120,format=jpeg"},
	{options: "width=120,format=baseline-jpeg", mime: "image/jpeg", golden: "card", check: baseline},
	{options: "width=40,height=40,format=jpeg", mime: "image/jpeg", check: baseline}, // under 50×50
	{options: "width=60,format=jxl", header: []string{"Accept", "image/webp"}, mime: typeJXL, check: codestream},
	{options: "width=60,format=png-force", same: "width=60,format=png"},
	{options: "width=120,format=svg", mime: "image/jpeg", golden: "card", warning: "format=svg is ignored"},
	{options: "background=pink,width=60", source: "badge.png", mime: "image/jpeg"},
	{options: "width=60", source: "badge.png", golden: "badge"},
	{options: "width=120,compression=fast,format=avif", mime: "image/jpeg", golden: "card", check: baseline},

	{options: "format=png", source: "card.tiff", golden: "card"},
	{options: "format=png", source: "card.webp", golden: "card"},
	{options: "format=png", source: "card.avif", golden: "card"},

	// Qualities. The first step of libjpeg's luminance table is 16 at quality
	// 50, and for q from 50 on (16·(200 - 2q) + 50) / 100, below (16·5000/q + 50) / 100.
	{options: "width=60,quality=85", mime: "image/jpeg", same: "width=60", check: firstStep(5)},
	{options: "width=60,quality=high", mime: "image/jpeg", same: "width=60,quality=90", check: firstStep(3)},
	{options: "width=60,quality=medium-high", mime: "image/jpeg", same: "width=60,quality=70", check: firstStep(10)},
	{options: "width=60,quality=medium-low", mime: "image/jpeg", same: "width=60,quality=50", check: firstStep(16)},
	{options: "width=60,quality=low", mime: "image/jpeg", same: "width=60,quality=35", check: firstStep(23)},
	{options: "width=60,q=35", mime: "image/jpeg", same: "width=60,quality=35"},
	{options: "width=120,quality=100,format=webp", mime: "image/webp", golden: "card"},
	{options: "width=60,quality=60,format=png", golden: "small", check: palette},
	{options: "width=60,slow-connection-quality=35", header: []string{"Save-Data", "on"}, mime: "image/jpeg", check: firstStep(23)},
	{options: "width=60,scq=low", header: []string{"ECT", "3g"}, mime: "image/jpeg", check: firstStep(23)},
	{options: "width=60,scq=low", header: []string{"ECT", "4g"}, mime: "image/jpeg", check: firstStep(5)},

	// Animation.
	{options: "width=30", source: "film.gif", mime: "image/gif", golden: "film"},
	{options: "width=30,anim=true", source: "film.gif", mime: "image/gif", golden: "film"},
	{options: "width=30,format=webp", source: "film.gif", mime: "image/webp", golden: "film"},
	{options: "width=30,format=gif", source: "film.gif", mime: "image/gif", golden: "film"},
	{options: "width=30,anim=false,format=png", source: "film.gif", golden: "frame"},

	// Metadata.
	{options: "width=120", source: "tagged.jpg", mime: "image/jpeg", golden: "card", check: carries(true, false, false)},
	{options: "width=120,metadata=copyright", source: "tagged.jpg", mime: "image/jpeg", golden: "card", check: carries(true, false, false)},
	{options: "width=120,metadata=keep", source: "tagged.jpg", mime: "image/jpeg", golden: "card", check: carries(true, true, true)},
	{options: "width=120,metadata=none", source: "tagged.jpg", mime: "image/jpeg", golden: "card", check: carries(false, false, false)},

	// Facts instead of a picture, as published: 1080×720 becomes 500×333.
	{options: "width=500,height=500,format=json", source: "1080x720.png", mime: "application/json", check: describes(500, 333, 1080, 720)},
	{options: "debug=crop,gravity=face,width=40,height=40,fit=cover,format=png", golden: "debug"},

	// What goes wrong.
	{options: "width=60,onerror=redirect", source: "missing.png", status: 302, mime: "text/plain; charset=utf-8"},
	{options: "width=60,onerror=redirect,format=png", golden: "small"},
	{options: "width=60,nonsense=1,format=png", golden: "small", warning: "nonsense is unknown"},
	// Both are for Workers alone.
	{options: "width=60,origin-auth=share-publicly,format=png", golden: "small", warning: "origin-auth is unknown"},
	{options: "width=60,draw=x,format=png", golden: "small", warning: "draw is unknown"},

	// The order of the steps, each with its own golden: trim, flip, rotate,
	// resize; adjustments, blur, background, bars, border. That of the options
	// is nothing.
	{options: "width=40,rotate=90,flip=h,trim.left=30,format=png", golden: "order-turns"},
	{options: "trim.left=30,flip=h,format=png,rotate=90,width=40", same: "width=40,rotate=90,flip=h,trim.left=30,format=png"},
	{options: "background=%23fa2891,blur=6,width=60,height=60,fit=pad,format=png", golden: "order-blur"},
	{options: "border.width=3,border.color=blue,background=%23fa2891,blur=3,saturation=0.5,gamma=0.5,contrast=1.5,brightness=0.8," +
		"width=60,height=60,fit=pad,format=png", source: "badge.png", golden: "order-colours"},
}
