#!/usr/bin/env python3
"""Writes models with the shapes and the work of large published ones, and with
random weights: how fast they are and what they hold is then measured where
their weights cannot be fetched. What they say of a picture means nothing.

    stand_ins.py FOLDER [--small] [--only NAME]...

Needs numpy and onnx. Each model is a folder of a focal model repository, once in
32-bit floats and once in 16-bit ones with 32-bit inputs and outputs. Built from
the papers and the published layer tables: U2-Net, IS-Net (U2-Net at half the
resolution), and a Swin-L encoder run at two scales with a decoder of BiRefNet's
widths, its deformable convolutions replaced by plain ones.
"""
import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MANIFEST = """name: {name}
task: foreground
summary: "random weights in the shape of {like}: for measuring time and memory only"
licence: {{spdx: CC0-1.0, non_commercial: false}}
inputs:
  - {{name: input, type: float32, shape: [{batch}, 3, {side}, {side}]}}
outputs:
  - {{name: mask, type: float32, shape: [{batch}, 1, {side}, {side}]}}
recipe: {{family: mask, colour: rgb, resize: stretch, width: {side}, height: {side}, kernel: area, scale: "255", mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}}
max_batch: {most}
max_batch_cpu: 1
session: {{memory_pattern: false}}
"""


class Graph:
    """A graph under construction. Values are names; shapes are known to whoever calls."""

    def __init__(self, half, seed=1):
        self.nodes, self.weights, self.kept = [], [], {}
        self.type = np.float16 if half else np.float32
        self.random = np.random.default_rng(seed)

    def op(self, kind, *inputs, **attributes):
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def const(self, values, dtype=None):
        array = np.asarray(values, dtype or self.type)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size < 64 else None
        if key in self.kept:
            return self.kept[key]
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        if key:
            self.kept[key] = name
        return name

    def draw(self, *shape, spread):
        return self.const((self.random.standard_normal(shape, np.float32) * spread).astype(self.type))

    def shared(self, key, make):
        """A weight that several places use."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def conv(self, x, cin, cout, kernel=3, dilation=1, stride=1, relu=True, key=None):
        pad = dilation * (kernel // 2)
        spread = (2 / (cin * kernel * kernel)) ** 0.5
        w = self.shared((key, "w"), lambda: self.draw(cout, cin, kernel, kernel, spread=spread)) if key else self.draw(cout, cin, kernel, kernel, spread=spread)
        b = self.shared((key, "b"), lambda: self.const(np.zeros(cout))) if key else self.const(np.zeros(cout))
        x = self.op("Conv", x, w, b, kernel_shape=[kernel] * 2, pads=[pad] * 4, dilations=[dilation] * 2, strides=[stride] * 2)
        return self.op("Relu", x) if relu else x

    def resize(self, x, channels, side):
        # The batch keeps its size: 0 in a Resize would be none, so scales are not used.
        shape = self.op("Concat", self.op("Slice", self.op("Shape", x), self.const([0], np.int64), self.const([1], np.int64)),
                        self.const([channels, side, side], np.int64), axis=0)
        return self.op("Resize", x, "", "", shape, mode="linear", coordinate_transformation_mode="half_pixel")

    def save(self, folder, name, like, x, side, batch, most):
        half = self.type == np.float16
        head = [helper.make_node("Cast", ["input"], ["in16"], to=TensorProto.FLOAT16)] if half else []
        tail = [helper.make_node("Cast", [x], ["mask"], to=TensorProto.FLOAT)] if half else [helper.make_node("Identity", [x], ["mask"])]
        dims = lambda c: [batch if batch > 0 else "n", c, side, side]
        graph = helper.make_graph(head + self.nodes + tail, name,
                                  [helper.make_tensor_value_info("input", TensorProto.FLOAT, dims(3))],
                                  [helper.make_tensor_value_info("mask", TensorProto.FLOAT, dims(1))], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        target = pathlib.Path(folder, name, "1")
        target.mkdir(parents=True, exist_ok=True)
        onnx.save(model, target / "model.onnx")
        text = MANIFEST.format(name=name, like=like, side=side, batch=batch, most=most)
        (target.parent / "model.yaml").write_text(text)
        size = (target / "model.onnx").stat().st_size
        print(f"{name}: {size / 1e6:.0f} MB, input {side}x{side}", flush=True)


def source(g):
    return "in16" if g.type == np.float16 else "input"


def rsu(g, x, cin, mid, cout, depth, side, flat=False):
    """A residual U-block of `depth` levels; flat dilates where others shrink."""
    top = g.conv(x, cin, cout)
    levels, sides = [g.conv(top, cout, mid)], [side]
    for level in range(1, depth - 1):
        y = levels[-1]
        if not flat:
            y = g.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
            sides.append((sides[-1] + 1) // 2)
        levels.append(g.conv(y, mid, mid, dilation=2**level if flat else 1))
    y = g.conv(levels[-1], mid, mid, dilation=2 ** (depth - 1) if flat else 2)
    for level in range(depth - 2, -1, -1):
        y = g.conv(g.op("Concat", y, levels[level], axis=1), 2 * mid, mid if level else cout, dilation=2**level if flat else 1)
        if level and not flat:
            y = g.resize(y, mid, sides[level - 1])
    return g.op("Add", y, top)


def u2net(g, side, width, stem):
    """U2-Net; with a stem, which halves the picture first, IS-Net."""
    w = lambda n: max(4, n // width)
    x, cin, inner = source(g), 3, side
    if stem:
        x, cin, inner = g.conv(x, 3, w(64), stride=2), w(64), side // 2
    plan = [(w(32), w(64), 7), (w(32), w(128), 6), (w(64), w(256), 5), (w(128), w(512), 4)]
    sides, skips = [inner], []
    for mid, cout, depth in plan:
        x = rsu(g, x, cin, mid, cout, depth, sides[-1])
        skips.append((x, cout))
        x, cin = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), cout
        sides.append((sides[-1] + 1) // 2)
    x = rsu(g, x, w(512), w(256), w(512), 4, sides[4], flat=True)
    skips.append((x, w(512)))
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    sides.append((sides[4] + 1) // 2)
    x = rsu(g, x, w(512), w(256), w(512), 4, sides[5], flat=True)
    outs, channels = [(x, w(512))], w(512)
    for level, (mid, cout, depth) in zip(range(4, -1, -1), [(w(256), w(512), 4), (w(128), w(256), 4), (w(64), w(128), 5), (w(32), w(64), 6), (w(16), w(64), 7)]):
        x = g.op("Concat", g.resize(x, channels, sides[level]), skips[level][0], axis=1)
        x = rsu(g, x, channels + skips[level][1], mid, cout, depth, sides[level], flat=level == 4)
        channels = cout
        outs.append((x, cout))
    maps = [g.resize(g.conv(y, c, 1, relu=False), 1, side) for y, c in reversed(outs)]
    if stem:
        return g.op("Sigmoid", maps[0])
    return g.op("Sigmoid", g.conv(g.op("Concat", *maps, axis=1), 6, 1, kernel=1, relu=False))


def norm(g, x, channels, key):
    scale = g.shared((key, "scale"), lambda: g.const(np.ones(channels)))
    shift = g.shared((key, "shift"), lambda: g.const(np.zeros(channels)))
    return g.op("LayerNormalization", x, scale, shift, axis=-1)


def linear(g, x, cin, cout, key):
    w = g.shared((key, "w"), lambda: g.draw(cin, cout, spread=cin**-0.5))
    b = g.shared((key, "b"), lambda: g.const(np.zeros(cout)))
    return g.op("Add", g.op("MatMul", x, w), b)


def gelu(g, x):
    half = g.op("Mul", x, g.const([0.5]))
    return g.op("Mul", half, g.op("Add", g.op("Erf", g.op("Mul", x, g.const([0.70710678]))), g.const([1.0])))


def attention(g, x, side, c, heads, window, shift, key):
    """Windowed attention over a side x side map of c channels, last axis."""
    padded = -(-side // window) * window
    n = padded // window
    shape = lambda *d: g.const(d, np.int64)
    if padded > side:
        x = g.op("Pad", x, shape(0, 0, 0, 0, 0, padded - side, padded - side, 0))
    if shift:
        for axis in (1, 2):
            x = g.op("Concat", g.op("Slice", x, shape(shift), shape(padded), shape(axis)), g.op("Slice", x, shape(0), shape(shift), shape(axis)), axis=axis)
    x = g.op("Transpose", g.op("Reshape", x, shape(1, n, window, n, window, c)), perm=[0, 1, 3, 2, 4, 5])
    x = g.op("Reshape", x, shape(n * n, window * window, c))
    parts = []
    for part in "qkv":
        y = g.op("Reshape", linear(g, x, c, c, (key, part)), shape(n * n, window * window, heads, c // heads))
        parts.append(g.op("Transpose", y, perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]))
    scores = g.op("MatMul", g.op("Mul", parts[0], g.const([(c // heads) ** -0.5])), parts[1])
    bias = g.shared((key, "bias"), lambda: g.draw(1, heads, window * window, window * window, spread=0.02))
    y = g.op("MatMul", g.op("Softmax", g.op("Add", scores, bias), axis=-1), parts[2])
    y = linear(g, g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), shape(n * n, window * window, c)), c, c, (key, "proj"))
    y = g.op("Transpose", g.op("Reshape", y, shape(1, n, n, window, window, c)), perm=[0, 1, 3, 2, 4, 5])
    y = g.op("Reshape", y, shape(1, padded, padded, c))
    if shift:
        for axis in (1, 2):
            y = g.op("Concat", g.op("Slice", y, shape(padded - shift), shape(padded), shape(axis)), g.op("Slice", y, shape(0), shape(padded - shift), shape(axis)), axis=axis)
    if padded > side:
        y = g.op("Slice", y, shape(0, 0), shape(side, side), shape(1, 2))
    return y


def swin(g, x, side, c, depths, heads, window):
    """The four maps of a Swin encoder, channels first, with their channels and sides."""
    x = patch(g, x, c)
    side //= 4
    maps = []
    for stage, (depth, h) in enumerate(zip(depths, heads)):
        for block in range(depth):
            key = (stage, block)
            y = norm(g, x, c, (key, 1))
            x = g.op("Add", x, attention(g, y, side, c, h, window, window // 2 if block % 2 else 0, key))
            y = linear(g, norm(g, x, c, (key, 2)), c, 4 * c, (key, "up"))
            x = g.op("Add", x, linear(g, gelu(g, y), 4 * c, c, (key, "down")))
        maps.append((g.op("Transpose", norm(g, x, c, (stage, "out")), perm=[0, 3, 1, 2]), c, side))
        if stage < 3:
            shape = lambda *d: g.const(d, np.int64)
            x = g.op("Transpose", g.op("Reshape", x, shape(1, side // 2, 2, side // 2, 2, c)), perm=[0, 1, 3, 2, 4, 5])
            x = norm(g, g.op("Reshape", x, shape(1, side // 2, side // 2, 4 * c)), 4 * c, (stage, "merge"))
            w = g.shared((stage, "reduce"), lambda: g.draw(4 * c, 2 * c, spread=(4 * c) ** -0.5))
            x, c, side = g.op("MatMul", x, w), 2 * c, side // 2
    return maps


def patch(g, x, c):
    w = g.shared("patch", lambda: g.draw(c, 3, 4, 4, spread=48**-0.5))
    return g.op("Transpose", g.op("Conv", x, w, kernel_shape=[4, 4], strides=[4, 4]), perm=[0, 2, 3, 1])


def birefnet(g, side, c, depths, heads, window):
    x = source(g)
    large = swin(g, x, side, c, depths, heads, window)
    small = swin(g, g.resize(x, 3, side // 2), side // 2, c, depths, heads, window)
    maps = [(g.op("Concat", y, g.resize(z, n, s), axis=1), 2 * n, s) for (y, n, s), (z, _, _) in zip(large, small)]
    y, channels = None, 0
    for level in (3, 2, 1, 0):
        skip, n, s = maps[level]
        if y is not None:
            y = g.op("Add", g.resize(y, channels, s), g.conv(skip, n, channels, kernel=1, relu=False))
            cin = channels
        else:
            y, cin = skip, n
        inner = min(64, cin)
        cout = max(8, maps[max(level - 1, 0)][1] // (1 if level else 2))
        y = g.conv(y, cin, inner)
        y = g.conv(g.op("Concat", *[g.conv(y, inner, inner, dilation=d) for d in (1, 2, 3)], axis=1), 3 * inner, inner, kernel=1)
        y, channels = g.conv(y, inner, cout, relu=False), cout
    y = g.resize(g.conv(y, channels, 16), 16, side)
    return g.op("Sigmoid", g.conv(y, 16, 1, kernel=1, relu=False))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--small", action="store_true", help="a few megabytes each, to try the way without a card")
    arguments.add_argument("--only", action="append", default=[])
    a = arguments.parse_args()
    width, side, swins = (16, 64, (8, (1, 2, 2, 1), (1, 2, 4, 8), 4)) if a.small else (1, 1024, (192, (2, 2, 18, 2), (6, 12, 24, 48), 12))
    plans = {
        "standin-u2net": ("U2-Net", 64 if a.small else 320, -1, 16, lambda g, s: u2net(g, s, width, False)),
        "standin-isnet": ("IS-Net", side, -1, 4, lambda g, s: u2net(g, s, width, True)),
        "standin-birefnet": ("BiRefNet on Swin-L", 2 * side if a.small else side, 1, 1, lambda g, s: birefnet(g, s, *swins)),
    }
    for name, (like, s, batch, most, build) in plans.items():
        for half in (False, True):
            full = name + ("-fp16" if half else "")
            if a.only and full not in a.only:
                continue
            g = Graph(half)
            g.save(a.folder, full, like, build(g, s), s, batch, most)


main()
