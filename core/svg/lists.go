package svg

import "strings"

// elements are those of SVG 1.1 (appendix K) less foreignObject, metadata and
// script, and of SVG 2 and its drafts feDropShadow, hatches and meshes.
var elements = set(`
	a altGlyph altGlyphDef altGlyphItem animate animateColor animateMotion animateTransform circle clipPath
	color-profile cursor defs desc ellipse feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix
	feDiffuseLighting feDisplacementMap feDistantLight feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR
	feGaussianBlur feImage feMerge feMergeNode feMorphology feOffset fePointLight feSpecularLighting feSpotLight
	feTile feTurbulence filter font font-face font-face-format font-face-name font-face-src font-face-uri g glyph
	glyphRef hatch hatchpath hkern image line linearGradient marker mask meshgradient meshpatch meshrow
	missing-glyph mpath path pattern polygon polyline radialGradient rect set stop style svg switch symbol text
	textPath title tref tspan use view vkern`)

// linking are the elements that may keep a link.
var linking = set(`radialGradient linearGradient image use pattern feImage`)

// sort is how the value of an attribute is made safe.
type sort uint8

const (
	refused   sort = iota
	plain          // nothing that a browser acts on: as it is
	styled         // CSS, or a value that may hold url()
	link           // an address
	animated       // the name of an attribute that an animation changes
	animation      // what an animation changes it to
)

// plainAttributes are those of SVG 1.1 (appendix M) and SVG 2 that hold
// numbers, keywords, names, lists or text.
var plainAttributes = set(`
	accent-height accumulate additive alphabetic amplitude arabic-form ascent attributeType azimuth baseFrequency
	baseProfile bbox begin bias calcMode cap-height class clipPathUnits cx cy d descent diffuseConstant divisor dur
	dx dy edgeMode elevation end exponent externalResourcesRequired filterRes filterUnits format fr fx fy g1 g2
	glyph-name glyphRef gradientTransform gradientUnits hanging hatchContentUnits hatchTransform hatchUnits height
	horiz-adv-x horiz-origin-x horiz-origin-y id ideographic in in2 intercept k k1 k2 k3 k4 kernelMatrix
	kernelUnitLength keyPoints keySplines keyTimes lang lengthAdjust limitingConeAngle local markerHeight
	markerUnits markerWidth maskContentUnits maskUnits mathematical max media method min mode name numOctaves offset
	operator order orient orientation origin overline-position overline-thickness panose-1 path pathLength
	patternContentUnits patternTransform patternUnits pitch points pointsAtX pointsAtY pointsAtZ preserveAlpha
	preserveAspectRatio primitiveUnits r radius refX refY rendering-intent repeatCount repeatDur requiredExtensions
	requiredFeatures restart result role rotate rx ry scale seed side slope spacing specularConstant
	specularExponent spreadMethod startOffset stdDeviation stemh stemv stitchTiles strikethrough-position
	strikethrough-thickness string surfaceScale systemLanguage tabindex tableValues targetX targetY textLength title
	transform type u1 u2 underline-position underline-thickness unicode unicode-range units-per-em v-alphabetic
	v-hanging v-ideographic v-mathematical version vert-adv-y vert-origin-x vert-origin-y viewBox viewTarget width
	widths x x-height x1 x2 xChannelSelector y y1 y2 yChannelSelector z zoomAndPan`)

// styledAttributes are the presentation attributes of SVG 1.1 and SVG 2, and
// style itself. Most never hold url(); treated alike, none can begin to.
var styledAttributes = set(`
	alignment-baseline baseline-shift clip clip-path clip-rule color color-interpolation color-interpolation-filters
	color-profile color-rendering cursor direction display dominant-baseline enable-background fill fill-opacity
	fill-rule filter flood-color flood-opacity font font-family font-size font-size-adjust font-stretch font-style
	font-variant font-weight glyph-orientation-horizontal glyph-orientation-vertical image-rendering inline-size
	isolation kerning letter-spacing lighting-color line-height marker marker-end marker-mid marker-start mask
	mask-type mix-blend-mode opacity overflow paint-order pointer-events shape-inside shape-margin shape-padding
	shape-rendering shape-subtract solid-color solid-opacity stop-color stop-opacity stroke stroke-dasharray
	stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width style text-align
	text-anchor text-decoration text-decoration-color text-decoration-line text-decoration-style text-indent
	text-orientation text-overflow text-rendering transform-box transform-origin unicode-bidi vector-effect
	visibility white-space will-change word-spacing writing-mode`)

// sortOf returns how an attribute without a prefix is treated. Names of data-*
// are letters, digits and "-_." of ASCII, those of aria-* letters of ASCII.
func sortOf(name string) sort {
	switch {
	case plainAttributes[name]:
		return plain
	case styledAttributes[name]:
		return styled
	}
	switch name {
	case "href":
		return link
	case "attributeName":
		return animated
	case "by", "from", "to", "values":
		return animation
	}
	if rest, ok := strings.CutPrefix(name, "data-"); ok && rest != "" && !strings.ContainsFunc(rest, func(r rune) bool {
		return !(isLetter(r) || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) {
		return plain
	}
	if rest, ok := strings.CutPrefix(name, "aria-"); ok && rest != "" && !strings.ContainsFunc(rest, func(r rune) bool { return !isLetter(r) }) {
		return plain
	}
	return refused
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func set(names string) map[string]bool {
	s := map[string]bool{}
	for _, n := range strings.Fields(names) {
		s[n] = true
	}
	return s
}
