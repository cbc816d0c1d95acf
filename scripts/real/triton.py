"""What scripts/real/triton asks of a running sidecar.

    triton.py HOST:PORT GOLDEN_JSON
"""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

FORMULAS = {
    "p - [104,117,123][c]": lambda p: p - np.array([104, 117, 123]).reshape(1, 3, 1, 1),
    "(p - 127) / 128": lambda p: (p - 127) / 128,
    "(p/255 - mean[c]) / std[c]": lambda p: (p / 255 - np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
    / np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1),
}
FILES = {
    "retinaface-mobilenet025": "retinaface_mobilenet025.onnx",
    "ultralight-320": "ultralight_rfb_320.onnx",
    "u2netp": "u2netp.onnx",
}


def picture(golden):
    """Returns the input that golden.json describes, a batch of two."""
    n, c, y, x = np.indices(golden["input_shape"])
    p = (17 * n + 29 * c + 7 * y + 13 * x) % 256
    return FORMULAS[golden["input_formula"].split("input = ")[1]](p).astype(np.float32)


def tensor(values, binary=True):
    given = triton.InferInput("input", list(values.shape), "FP32")
    return given.set_data_from_numpy(values, binary_data=binary)


def check(golden, result):
    """Compares with the numbers of golden.json, as the tests do."""
    for name, want in golden["outputs"].items():
        got = result.as_numpy(name)
        assert list(got.shape) == want["shape"], (name, got.shape)
        flat = got.reshape(-1)
        for found, wanted in ((flat[: len(want["first"])], want["first"]), (flat[-len(want["last"]) :], want["last"])):
            assert np.allclose(found, wanted, rtol=2e-4, atol=2e-4), (name, found, wanted)
        assert abs(flat.mean() - want["mean"]) < 2e-4 * max(1, abs(want["mean"])), name


def refused(what, status, says, call):
    """Expects call to fail with this status and these words."""
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == status and says in error.message(), (what, error.status(), error.message())
        print(f"{what}: {error.status()} {error.message()[:100]}")
        return
    raise AssertionError(f"{what} was not refused")


def states(client):
    return {m["name"]: (m["state"], m["reason"]) for m in client.get_model_repository_index()}


def configuration(client):
    """The configuration must fit the metadata: its shapes are those without the batch axis."""
    for name in FILES:
        about, config = client.get_model_metadata(name), client.get_model_config(name, "1")
        assert config["name"] == name and config["platform"] == about["platform"], config
        for tensors, described in ((config["input"], about["inputs"]), (config["output"], about["outputs"])):
            want = [(d["name"], "TYPE_" + d["datatype"], d["shape"][1:]) for d in described]
            assert [(t["name"], t["data_type"], t["dims"]) for t in tensors] == want, config
        assert config["max_batch_size"] >= 1 and config["instance_group"][0]["count"] >= 1, config
        assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 0, config
        print(f"{name}: at most {config['max_batch_size']} in a run, {config['instance_group']}")


def infer(client, golden):
    for name, file in FILES.items():
        values = picture(golden[file])
        for binary in (False, True):
            check(golden[file], client.infer(name, [tensor(values, binary)]))  # answers are binary by default
            wanted = [triton.InferRequestedOutput(o, binary_data=binary) for o in golden[file]["outputs"]]
            result = client.infer(name, [tensor(values, binary)], outputs=wanted, request_id="42", priority=1, timeout=30_000_000)
            check(golden[file], result)
            assert result.get_response()["id"] == "42" and result.get_response()["model_version"] == "1"
        print(f"{name}: the golden numbers, as JSON and as binary tensors, batch of {values.shape[0]}")


def statistics(client, golden):
    before = client.get_inference_statistics("u2netp")["model_stats"][0]
    values = picture(golden["u2netp.onnx"])[:1]
    alone = client.infer("u2netp", [tensor(values)]).as_numpy("mask")
    for answer in [client.async_infer("u2netp", [tensor(values)]) for _ in range(3)]:
        assert np.allclose(answer.get_result().as_numpy("mask"), alone, atol=1e-5)
    after = client.get_inference_statistics("u2netp", "1")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 4, after
    assert after["inference_stats"]["success"]["count"] == before["inference_stats"]["success"]["count"] + 4, after
    assert {m["name"] for m in client.get_inference_statistics()["model_stats"]} >= set(FILES)
    print(f"u2netp: {after['inference_count']} inferences in {after['execution_count']} runs, {after['memory_usage']}")


def repository(client, golden):
    client.load_model("ultralight-320")
    assert states(client)["ultralight-320"] == ("READY", ""), states(client)
    client.unload_model("ultralight-320")
    assert not client.is_model_ready("ultralight-320")
    assert states(client)["ultralight-320"][0] in ("UNAVAILABLE", "UNLOADING"), states(client)
    values = picture(golden["ultralight_rfb_320.onnx"])
    refused("after unload", "503", "unloaded on request", lambda: client.infer("ultralight-320", [tensor(values)]))
    client.load_model("ultralight-320")
    check(golden["ultralight_rfb_320.onnx"], client.infer("ultralight-320", [tensor(values)]))
    print("ultralight-320: unloaded, refused, loaded, answers again;", states(client)["ultralight-320"])
    refused("load of nothing", "404", "nobody", lambda: client.load_model("nobody"))
    refused("load with a config", "400", '"config" is not served', lambda: client.load_model("u2netp", config="{}"))


def mistakes(client):
    def ask(shape, name="ultralight-320", dtype="FP32", **more):
        values = np.zeros(shape, dtype={"FP32": np.float32, "INT64": np.int64}[dtype])
        given = triton.InferInput("input", list(shape), dtype).set_data_from_numpy(values)
        return lambda: client.infer(name, [given], **more)

    good = (1, 3, 240, 320)
    refused("wrong shape", "400", "has shape [1 3 240 321]: want [-1 3 240 320]", ask((1, 3, 240, 321)))
    refused("wrong rank", "400", "has shape", ask((3, 240, 320)))
    refused("huge shape", "413", "items of at most", ask((1, 3, 1200, 1200), "retinaface-mobilenet025"))
    refused("wrong datatype", "400", 'datatype "INT64": the model takes FP32', ask(good, dtype="INT64"))
    refused("unknown model", "404", "nobody", ask(good, "nobody"))
    refused("unknown version", "404", 'served in version 1, not "9"', ask(good, model_version="9"))
    refused("unknown output", "400", 'no output "depth"', ask(good, outputs=[triton.InferRequestedOutput("depth")]))
    refused("classification", "400", "classification", ask(good, outputs=[triton.InferRequestedOutput("scores", class_count=3)]))
    refused("sequences", "400", "sequence_id", ask(good, sequence_id=7))
    refused("packed body", "415", "gzip", ask(good, request_compression_algorithm="gzip"))
    refused("no number", "400", "number 0 is NaN", lambda: client.infer("ultralight-320", [tensor(np.full(good, np.nan, np.float32))]))
    refused("one microsecond", "503", "too late", ask(good, timeout=1))
    refused("config of nothing", "404", "nobody", lambda: client.get_model_config("nobody"))
    refused("what is not served", "404", "/openapi.json", lambda: client.get_trace_settings())
    ask(good, response_compression_algorithm="gzip")()  # an answer need not be packed
    print("after all that a good request is answered")


def main():
    address, path = sys.argv[1:]
    golden = json.load(open(path))
    with triton.InferenceServerClient(address, concurrency=4, network_timeout=60) as client:
        assert client.is_server_live() and client.is_server_ready()
        about = client.get_server_metadata()
        assert about["name"] == "focal" and "binary_tensor_data" in about["extensions"], about
        print(f"{about['name']} {about['version']}: {', '.join(about['extensions'])}")
        for name in FILES:
            about = client.get_model_metadata(name)
            assert about["platform"] == "onnxruntime_onnx" and about["inputs"][0]["datatype"] == "FP32", about
            assert client.is_model_ready(name) and client.is_model_ready(name, "1")
            assert not client.is_model_ready(name, "9") and not client.is_model_ready("nobody")
            print(f"{name}: {about['inputs'][0]['shape']} → {[o['name'] for o in about['outputs']]}")
        configuration(client)
        infer(client, golden)
        statistics(client, golden)
        repository(client, golden)
        mistakes(client)


if __name__ == "__main__":
    main()
