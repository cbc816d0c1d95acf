"""Draws the pictures that options_test.go asks for and those it expects:

    python server/api/testdata/goldens.py server/api/testdata

The expected ones are worked out here with Pillow and NumPy from the text of
docs/options.md and know nothing of the program. Five are not, since what they
show is ours alone: auto, entropy, hidden, hidden-all and debug were looked at
and copied from what the test left in .cache/goldens.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, TiffImagePlugin

out = Path(sys.argv[1])
W, H = 120, 80

# Where the scripted vision of the test finds things, in pixels of the card.
FACES = [(66, 22, 12, 16, "bisque"), (18, 56, 6, 8, "mistyrose"), (100, 60, 8, 8, "honeydew")]
SUBJECT = (30, 20, 60, 60)


def card():
    """A gradient in which every place has its colour, an F against mirrors, a
    line round it against lost edges, the subject darker, three faces."""
    y, x = np.mgrid[0:H, 0:W] + 0.5
    a = np.stack([80 + 120 * x / W, 90 + 110 * y / H, 180 - 80 * x / W], 2)
    sx, sy, sw, sh = SUBJECT
    a[sy:sy + sh, sx:sx + sw] *= 0.55
    m = Image.fromarray(np.rint(a).astype(np.uint8))
    d = ImageDraw.Draw(m)
    for box in [(8, 10, 13, 46), (8, 10, 26, 15), (8, 25, 21, 30)]:
        d.rectangle(box, fill="white")
    for fx, fy, fw, fh, colour in FACES:
        d.ellipse((fx, fy, fx + fw - 1, fy + fh - 1), fill=colour)
        d.rectangle((fx + fw // 2 - 1, fy + fh // 2 - 1, fx + fw // 2, fy + fh // 2), fill="black")
    d.rectangle((0, 0, W - 1, H - 1), outline="black", width=2)
    return np.asarray(m).astype(float)


def badge():
    """A ring with a translucent middle on nothing, 60×40."""
    a = np.zeros((40, 60, 4))
    y, x = np.mgrid[0:40, 0:60] + 0.5
    r = np.hypot(x - 30, y - 20)
    a[r < 18] = (30, 90, 220, 255)
    a[r < 10] = (255, 220, 0, 128)
    a[4:12, 4:16] = (0, 130, 60, 255)
    return a


def spot():
    """A wide grey field: what catches the eye near the left end, what holds most
    detail near the right one."""
    a = np.full((H, 200, 3), 120.0)
    y, x = np.mgrid[0:H, 0:200]
    a[np.hypot(x - 40, y - 40) < 16] = (230, 70, 30)
    a[15:65, 140:190] = np.random.default_rng(1).integers(100, 140, (50, 50, 1))
    return a


def film():
    """Three frames, 60×40, in which the F grows darker."""
    small = resize(card(), 60, 40)
    return [np.rint(small * f) for f in (1, 0.7, 0.4)]


# What the options do, by the text of docs/options.md.

def resize(a, w, h):
    """Lanczos, colours weighed by alpha."""
    if a.shape[2] == 4:
        alpha = a[..., 3:] / 255
        p = scale(np.concatenate([a[..., :3] * alpha, a[..., 3:]], 2), w, h)
        with np.errstate(divide="ignore", invalid="ignore"):
            p[..., :3] = np.where(p[..., 3:] > 0, p[..., :3] * 255 / p[..., 3:], 0)
        return p.clip(0, 255)
    return scale(a, w, h).clip(0, 255)


def scale(a, w, h):
    channels = [Image.fromarray(a[..., c].astype(np.float32), "F").resize((w, h), Image.LANCZOS) for c in range(a.shape[2])]
    return np.stack([np.asarray(c) for c in channels], 2).astype(float)


def enlarge(a, w, h):
    """Bicubic, and half a pixel to the right and down, as libvips enlarges: its
    issue 4841 says that this is meant so."""
    s, m = w / a.shape[1], 3
    wide = np.pad(a, [(m, m), (m, m), (0, 0)], "edge").astype(np.float32)
    at = (1 / s, 0, m - 0.5 / s, 0, 1 / s, m - 0.5 / s)
    channels = [Image.fromarray(wide[..., c], "F").transform((w, h), Image.AFFINE, at, Image.BICUBIC) for c in range(a.shape[2])]
    return np.stack([np.asarray(c) for c in channels], 2).clip(0, 255)


def crop(a, x, y, w, h):
    return a[y:y + h, x:x + w]


def rotate(a, degrees):
    return np.rot90(a, -degrees // 90)


def pad(a, left, top, right, bottom, colour):
    """Colour has a channel for each of a, or one more, which makes a transparent."""
    if len(colour) > a.shape[2]:
        a = np.concatenate([a, np.full(a.shape[:2] + (1,), 255.0)], 2)
    c = np.full((a.shape[0] + top + bottom, a.shape[1] + left + right, a.shape[2]), colour, float)
    c[top:top + a.shape[0], left:left + a.shape[1]] = a
    return c


def over(a, colour, alpha=1.0):
    """Porter and Duff's over, a colour below; opaque ones leave three channels."""
    top = a[..., 3:] / 255
    whole = top + alpha * (1 - top)
    rgb = (a[..., :3] * top + np.array(colour, float) * alpha * (1 - top)) / np.maximum(whole, 1e-9)
    return rgb if alpha == 1 else np.concatenate([rgb, whole * 255], 2)


def gauss(a, sigma):
    n = int(4 * sigma + 1)
    k = np.exp(-np.arange(-n, n + 1) ** 2 / (2 * sigma * sigma))
    k /= k.sum()
    for axis in (0, 1):
        wide = np.pad(a, [(n, n) if i == axis else (0, 0) for i in range(a.ndim)], "edge")
        a = np.apply_along_axis(lambda v: np.convolve(v, k, "valid"), axis, wide)
    return a


def adjust(a, brightness=1, contrast=1, gamma=1, saturation=1, sharpen=0):
    v = (a / 255 * brightness).clip(0, 1)
    v = (v * contrast + 0.5 - 0.5 * contrast).clip(0, 1) ** gamma
    grey = (v @ np.array([0.213, 0.715, 0.072]))[..., None]
    v = (grey + saturation * (v - grey)).clip(0, 1)
    return ((v + sharpen * (v - gauss(v, 1))).clip(0, 1) if sharpen else v) * 255


def subject():
    m = np.zeros((H, W))
    x, y, w, h = SUBJECT
    m[y:y + h, x:x + w] = 255
    return m


def cutout(mask):
    a = np.concatenate([card(), mask[..., None]], 2)
    a[mask == 0] = 0
    return a


def shadow(a, dx, dy, radius, colour=(0, 0, 0), alpha=0.4):
    """The outline moved and blurred behind a; at the edge it goes on outside."""
    y, x = np.mgrid[0:a.shape[0], 0:a.shape[1]]
    thrown = a[..., 3][(y - dy).clip(0, a.shape[0] - 1), (x - dx).clip(0, a.shape[1] - 1)]
    s = gauss(thrown, radius / 2)[..., None] / 255 * alpha
    top = a[..., 3:] / 255
    whole = top + s * (1 - top)
    rgb = (a[..., :3] * top + np.array(colour, float) * s * (1 - top)) / np.maximum(whole, 1e-9)
    return np.concatenate([rgb, whole * 255], 2)


def goldens():
    c, b = card(), badge()
    small = resize(c, 60, 40)
    pink = (250, 40, 145)
    yield "card", c
    yield "small", small
    yield "width-100", resize(c, 100, 67)  # 66.7
    # Fits.
    yield "contain", enlarge(c, 180, 120)
    yield "cover", resize(crop(c, 20, 0, 80, 80), 40, 40)
    yield "crop-narrow", crop(c, 30, 0, 60, 80)
    yield "aspect-crop", crop(c, 20, 0, 80, 80)
    yield "pad", pad(small, 0, 10, 0, 10, (255, 255, 255))
    yield "pad-badge", pad(resize(b, 30, 20), 0, 5, 0, 5, (0, 0, 0, 0))
    yield "pad-pink", pad(small, 0, 10, 0, 10, pink)
    yield "squeeze", resize(c, 40, 60)
    # Gravity: of 120 columns 80 stay, of 80 rows 40.
    for name, x in [("left", 0), ("right", 40), ("point", 16), ("box-center", 8)]:
        yield name, resize(crop(c, x, 0, 80, 80), 40, 40)
    for name, y in [("top", 0), ("bottom", 40), ("point-y", 10)]:
        yield name, resize(crop(c, 0, y, 120, 40), 60, 20)
    # Faces: two of a score that counts; their outer box is 18..78 × 22..64.
    yield "faces", resize(crop(c, 8, 0, 80, 80), 40, 40)
    yield "face-largest", resize(crop(c, 32, 0, 80, 80), 40, 40)
    yield "face-second", resize(crop(c, 0, 0, 80, 80), 40, 40)
    yield "face-low-score", resize(crop(c, 23, 0, 80, 80), 40, 40)  # 18..108
    yield "zoom-half", crop(c, 60, 14, 24, 32)
    yield "zoom-whole", crop(c, 66, 22, 12, 16)
    # The subject.
    yield "subject", crop(c, *SUBJECT)
    yield "subject-zoom", resize(crop(c, 20, 0, 80, 80), 40, 40)
    m = subject()
    yield "foreground", cutout(m)
    yield "background", cutout(255 - m)
    yield "mask", m[..., None].repeat(3, 2)
    yield "mask-background", (255 - m)[..., None].repeat(3, 2)
    yield "shadow", shadow(cutout(m), -6, 5, 8)
    yield "shadow-chosen", shadow(cutout(m), 0, 2, 0.04 * H)
    yield "shadow-red", shadow(cutout(m), -6, 5, 8, (255, 0, 0), 1)
    # Colours.
    yield "on-pink", over(b, pink)
    yield "on-half-pink", over(b, pink, 128 / 255)
    yield "on-red", over(b, (255, 0, 0))
    yield "on-half-red", over(b, (255, 0, 0), 136 / 255)
    yield "on-white", over(b, (255, 255, 255))
    yield "badge", b
    # Trim, flip, rotate.
    yield "trim", crop(c, 40, 10, 60, 40)
    yield "trim-fraction", crop(c, 30, 10, 90, 70)
    yield "trim-dpr", crop(c, 20, 0, 100, 80)
    yield "inside", crop(c, 0, 0, 70, 50)
    yield "keep", crop(framed(), 7, 2, 76, 56)
    yield "framed", framed()
    for d in (90, 180, 270):
        yield f"rotate-{d}", rotate(c, d)
    yield "flip-h", c[:, ::-1]
    yield "flip-v", c[::-1]
    yield "flip-hv", c[::-1, ::-1]
    # Adjustments.
    yield "brightness", adjust(c, brightness=1.5)
    yield "contrast", adjust(c, contrast=0.5)
    yield "gamma", adjust(c, gamma=2)
    yield "saturation", adjust(c, saturation=0)
    yield "sharpen", adjust(c, sharpen=2)
    yield "blur", gauss(c, 4)
    # Borders.
    yield "border", pad(small, 4, 4, 4, 4, (0, 0, 0))
    yield "border-sides", pad(small, 8, 2, 4, 6, (255, 165, 0))
    yield "border-half", pad(small, 4, 4, 4, 4, (0, 0, 255, 128))
    # Animation: the frames, one below the other.
    yield "film", np.concatenate([resize(f, 30, 20) for f in film()])
    yield "frame", resize(film()[0], 30, 20)
    # Order: each of these differs from any other order of its steps.
    yield "order-turns", resize(rotate(crop(c, 30, 0, 90, 80)[:, ::-1], 90), 40, 45)
    yield "order-blur", pad(gauss(small, 3), 0, 10, 0, 10, pink)  # the bars stay sharp
    rgb = adjust(b[..., :3], brightness=0.8, contrast=1.5, gamma=0.5, saturation=0.5)
    dark = np.concatenate([rgb, b[..., 3:]], 2)
    weighed = np.concatenate([dark[..., :3] * dark[..., 3:] / 255, dark[..., 3:]], 2)
    soft = gauss(weighed, 1.5)
    soft[..., :3] *= 255 / np.maximum(soft[..., 3:], 1e-9)
    yield "order-colours", pad(pad(over(soft.clip(0, 255), pink), 0, 10, 0, 10, pink), 3, 3, 3, 3, (0, 0, 255))


def framed():
    return pad(crop(card(), 0, 0, 70, 50), 10, 5, 20, 7, (250, 250, 250))


def image(a):
    return Image.fromarray(np.rint(a).clip(0, 255).astype(np.uint8))


def tagged():
    """A JPEG, stored lying on its side, with a right, an artist and a position."""
    e = Image.Exif()
    e[0x0112] = 6
    e[0x013B] = "A. Person"
    e[0x8298] = "(c) A. Person"
    gps = e.get_ifd(0x8825)
    gps[1], gps[2] = "N", tuple(TiffImagePlugin.IFDRational(v) for v in (48, 51, 29))
    b = io.BytesIO()
    image(rotate(card(), 270)).save(b, "JPEG", quality=97, subsampling=0, exif=e)
    return b.getvalue()


def main():
    sources = {"card": card(), "badge": badge(), "spot": spot(), "framed": framed()}
    for name, a in sources.items():
        image(a).save(out / "sources" / f"{name}.png", optimize=True)
    (out / "sources" / "tagged.jpg").write_bytes(tagged())
    frames = [image(f) for f in film()]
    frames[0].save(out / "sources" / "film.gif", save_all=True, append_images=frames[1:], duration=[50, 100, 150], loop=3)
    image(card()).save(out / "sources" / "card.tiff", compression="tiff_lzw")
    image(card()).save(out / "sources" / "card.webp", lossless=True)
    image(card()).save(out / "sources" / "card.avif", quality=95, subsampling="4:4:4")
    for name, a in goldens():
        image(a).save(out / "goldens" / f"{name}.png", optimize=True)


main()
