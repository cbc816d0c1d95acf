// The worker of scripts/real/binding: answers 200 if every picture that it makes
// through its Images binding is as it should be, 500 with what is not.

// png writes a picture without an encoder: its data lie in a stored block
// (RFC 1951, 3.2.4), so it has less than 64 KiB of them.
const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n >>> 0
})
const crc = (bytes) => ~bytes.reduce((c, b) => crcTable[(c ^ b) & 255] ^ (c >>> 8), -1) >>> 0
const u32 = (n) => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]
const chunk = (name, body) => {
  const named = [...new TextEncoder().encode(name), ...body]
  return [...u32(body.length), ...named, ...u32(crc(named))]
}
const adler = (bytes) => {
  let a = 1
  let b = 0
  for (const v of bytes) {
    a = (a + v) % 65521
    b = (b + a) % 65521
  }
  return u32(((b << 16) | a) >>> 0)
}
const png = (width, height, colour) => {
  const raw = []
  for (let y = 0; y < height; y++) {
    raw.push(0)
    for (let x = 0; x < width; x++) raw.push(...colour(x, y))
  }
  const stored = [1, raw.length & 255, raw.length >> 8, ~raw.length & 255, (~raw.length >> 8) & 255, ...raw]
  return new Uint8Array([
    0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10,
    ...chunk('IHDR', [...u32(width), ...u32(height), 8, 2, 0, 0, 0]),
    ...chunk('IDAT', [0x78, 1, ...stored, ...adler(raw)]),
    ...chunk('IEND', []),
  ])
}
const stream = (bytes) => new Blob([bytes]).stream()

const red = [255, 0, 0]
const green = [0, 255, 0]
const blue = [0, 0, 255]
const plain = (width, height, colour) => stream(png(width, height, () => colour))

export default {
  async fetch(request, { IMAGES }) {
    const faults = []
    let checks = 0
    const check = (name, got, want) => {
      checks++
      if (JSON.stringify(got) !== JSON.stringify(want)) faults.push(`${name}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
    }
    // pixels gives a picture of the given width as a function of place.
    const pixels = async (name, made, width, height) => {
      const bytes = new Uint8Array(await (await made.output({ format: 'rgb' })).response().arrayBuffer())
      check(`${name}: bytes`, bytes.length, width * height * 3)
      return (x, y) => [...bytes.slice(3 * (y * width + x), 3 * (y * width + x) + 3)]
    }

    const file = png(60, 40, () => blue)
    check('info', await IMAGES.info(stream(file)), { fileSize: file.length, width: 60, height: 40, format: 'image/png' })
    check('info of an SVG', await IMAGES.info(stream(new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg"/>'))), { format: 'image/svg+xml' })

    const halves = () => stream(png(60, 40, (x) => (x < 30 ? red : blue)))
    let at = await pixels('turned', IMAGES.input(halves()).transform({ rotate: 90 }), 40, 60)
    check('turned, top', at(20, 5), red)
    check('turned, bottom', at(20, 55), blue)
    at = await pixels('cut', IMAGES.input(halves()).transform({ width: 20, height: 20, fit: 'cover', gravity: { x: 1, y: 0.5 } }), 20, 20)
    // The edge between red and blue is at 5; with the centre kept it would be at 10.
    check('cut, left of the edge', at(2, 10)[0] > 250, true)
    check('cut, right of the edge', at(8, 10)[2] > 250, true)
    at = await pixels('one after the other', IMAGES.input(halves()).transform({ rotate: 180 }).transform({ width: 30 }), 30, 20)
    check('one after the other, left', at(3, 10), blue)
    check('one after the other, right', at(27, 10), red)

    at = await pixels('drawn', IMAGES.input(plain(60, 40, blue)).draw(plain(10, 10, red), { bottom: 5, right: 5 }), 60, 40)
    check('drawn, inside', at(50, 30), red)
    check('drawn, outside', at(44, 30), blue)
    at = await pixels('half', IMAGES.input(plain(60, 40, blue)).draw(plain(10, 10, red), { left: 0, top: 0, opacity: 0.5, repeat: 'x' }), 60, 40)
    check('half, far right', at(59, 5), [128, 0, 128])
    check('half, below', at(59, 15), blue)
    const nested = IMAGES.input(plain(60, 40, blue))
      .transform({ rotate: 90 })
      .draw(IMAGES.input(plain(20, 20, green)).draw(plain(6, 6, red)).transform({ width: 10 }), { left: 0, top: 0 })
      .draw(plain(4, 4, red), { right: 0, bottom: 0 })
    at = await pixels('nested', nested, 40, 60)
    check('nested, first', at(1, 1), green)
    check('nested, in the first', at(5, 5), red)
    check('nested, second', at(38, 58), red)
    check('nested, ground', at(20, 30), blue)

    for (const format of ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif']) {
      const made = await IMAGES.input(halves()).transform({ width: 30 }).output({ format, quality: 80 })
      check(format, [made.contentType(), made.response().headers.get('content-type')], [format, format])
      const back = await IMAGES.info(made.image())
      check(`${format}: read again`, [back.format, back.width, back.height], [format, 30, 20])
    }

    const fails = async (name, code, ask) => {
      const error = await ask().then(() => null, (e) => e)
      check(name, [error?.code, error?.message.includes(`ERROR ${code}: `)], [code, true])
    }
    const png1 = { format: 'image/png' }
    await fails('no picture', 9412, () => IMAGES.input(stream(new Uint8Array(100))).output(png1))
    await fails('info of none', 9412, () => IMAGES.info(stream(new Uint8Array(100))))
    await fails('an unknown option', 9401, () => IMAGES.input(halves()).transform({ colour: 1 }).output(png1))
    await fails('too much blur', 9401, () => IMAGES.input(halves()).transform({ blur: 300 }).output(png1))
    await fails('both sides', 9401, () => IMAGES.input(halves()).draw(plain(4, 4, red), { left: 1, right: 1 }).output(png1))
    await fails('no inference', 9522, () => IMAGES.input(halves()).transform({ segment: 'foreground' }).output(png1))

    if (faults.length > 0) return new Response(faults.join('\n') + '\n', { status: 500 })
    return new Response(`${checks} checks through the binding, all as they should be\n`)
  },
}
