"""Called by scripts/fp16: MODELS NAME…"""
import pathlib
import sys

import onnx
import yaml
from onnxconverter_common import float16

models = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    source = models / name
    versions = sorted((int(v.name) for v in source.iterdir() if v.name.isdigit() and (v / "model.onnx").is_file()), reverse=True)
    if not versions:
        sys.exit(f"{source} holds no version with a model.onnx")
    model = onnx.load(source / str(versions[0]) / "model.onnx")
    # Shapes that were inferred before would be of 32-bit values.
    del model.graph.value_info[:]
    half = float16.convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=False)
    # Names of free axes may say too much: YuNet calls the cells of all its grids
    # "dim", and a runtime that believes it has one grid write into another's memory.
    del half.graph.value_info[:]
    for output in half.graph.output:
        for axis in output.type.tensor_type.shape.dim:
            axis.ClearField("dim_param")
    target = models / f"{name}-fp16" / "1"
    target.mkdir(parents=True, exist_ok=True)
    onnx.save(half, target / "model.onnx")
    manifest = yaml.safe_load((source / "model.yaml").read_text())
    manifest["name"] = f"{name}-fp16"
    manifest["summary"] = f"{manifest.get('summary') or name}, 16-bit"
    manifest["artefacts"] = []
    (target.parent / "model.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
    print(f"{target.parent.name}: {(target / 'model.onnx').stat().st_size / 1e6:.1f} MB")
