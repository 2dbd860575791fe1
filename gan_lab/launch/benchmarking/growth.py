"""The models that explain how cost grows, and what they predict for larger machines and data."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gan_lab.launch.benchmarking.results import Figures, table

IMAGENET = 1_281_167  # training images of ILSVRC 2012
LARGE_BYTES = 3 * 64 * 64
DEVICES = 8


@dataclass(frozen=True)
class Accelerator:
    """What a prediction assumes of a data-centre GPU: sustained, not peak."""

    matrix: float = 400e12  # operations a second, bfloat16
    memory: float = 2.5e12  # bytes a second
    launch: float = 8e-6  # seconds for one operator to be issued from Python
    link: float = 200e9  # bytes a second between two of them
    latency: float = 30e-6  # seconds of one all-reduce of nothing

    def step(self, cost: Figures) -> float:
        """Seconds of an iteration: issuing it, computing it or moving it, whichever is longest."""
        issued = cost["operators"] * self.launch
        return max(issued, cost["flops"] / self.matrix, cost["bytes"] / self.memory)

    def reduction(self, cost: Figures, devices: int) -> float:
        """Seconds to average both players' gradients by a ring, one all-reduce a player."""
        if devices == 1:
            return 0.0
        return 2 * self.latency + 2 * (devices - 1) / devices * cost["weights"] / self.link


def fit_above(
    rows: Sequence[Sequence[float]], values: Sequence[float], least: Sequence[float]
) -> list[float]:
    """Coefficients >= `least` that fit rows @ coefficients to values, by least relative error.

    Tries every subset of the columns for what is above `least`: a cost that helps only with a
    negative sign is none.
    """
    matrix, wanted, floor = (np.asarray(given, float) for given in (rows, values, least))
    matrix = matrix / wanted[:, None]
    rest = 1 - matrix @ floor
    scale = np.abs(matrix).max(0)
    scale[scale == 0] = 1
    best, smallest = np.zeros(matrix.shape[1]), float(np.square(rest).sum())
    for size in range(1, matrix.shape[1] + 1):
        for chosen in map(list, combinations(range(matrix.shape[1]), size)):
            part, *_ = np.linalg.lstsq(matrix[:, chosen] / scale[chosen], rest, rcond=None)
            error = float(np.square(matrix[:, chosen] / scale[chosen] @ part - rest).sum())
            if (part >= 0).all() and error < smallest - 1e-9:
                smallest, best = error, np.zeros(matrix.shape[1])
                best[chosen] = part / scale[chosen]
    return [float(value) for value in best + floor]


def explain(steps: Sequence[Figures], evaluation: Sequence[Figures], products: float) -> Figures:
    """Fit seconds and memory; every point with what its model says.

    seconds = fixed + operations / rate + bytes / bandwidth, over all axes at once;
    memory = fixed + a * state + b * what is kept for the backward passes;
    seconds of an evaluation = fixed + images / rate.

    No rate is above `products`, the operations a second that matrix products reach here at best.
    Bytes have no such bound: caches serve them faster than a copy.
    """
    times = [[1.0, p["cost"]["flops"], p["cost"]["bytes"]] for p in steps]
    places = [[1.0, p["cost"]["state"], p["cost"]["saved"]] for p in steps]
    images = [[1.0, p["images"]] for p in evaluation]
    found: Figures = {"steps": [], "evaluation": [], "products": products}
    fits: dict[str, tuple[list[list[float]], list[float], list[float]]] = {
        "seconds": (times, [p["seconds"] for p in steps], [0, 1 / products, 0]),
        "memory": (places, [max(1, p["memory"]) for p in steps], [0, 0, 0]),
        "images": (images, [p["seconds"] for p in evaluation], [0, 0]),
    }
    for name, (rows, values, least) in fits.items():
        once = dict.fromkeys(zip(map(tuple, rows), values, strict=True))  # on however many axes
        distinct, wanted = [row for row, _ in once], [value for _, value in once]
        found[name] = fit_above(distinct, wanted, least) if rows else []
    for point, row, place in zip(steps, times, places, strict=True):
        says = {"predicted": dot(found["seconds"], row)}
        says["predicted_memory"] = dot(found["memory"], place)
        found["steps"].append({**point, **says})
    for point, row in zip(evaluation, images, strict=True):
        found["evaluation"].append({**point, "predicted": dot(found["images"], row)})
    return found


def dot(coefficients: Sequence[float], row: Sequence[float]) -> float:
    return float(sum(a * b for a, b in zip(coefficients, row, strict=True)))


def words(model: Figures) -> str:
    """The fitted model in a sentence, with its largest error."""
    if not model["steps"]:
        return "No step was measured."
    fixed, per_operation, per_byte = model["seconds"]
    terms = [f"{1e3 * fixed:.2f} ms"]
    terms += [f"operations / ({1e-9 / per_operation:,.0f} GFLOP/s)"] if per_operation else []
    terms += [f"bytes / ({1e-9 / per_byte:,.1f} GB/s)"] if per_byte else []
    base, state, saved = model["memory"]
    errors = [abs(p["predicted"] / p["seconds"] - 1) for p in model["steps"]]
    return (
        f"The model of a step: {' + '.join(terms)}; its largest error is {max(errors):.0%}. "
        "Operations and bytes grow together on these axes: their split says little, their sum "
        "predicts. No rate of operations is above "
        f"{model['products'] / 1e9:,.0f} GFLOP/s, the products' best. "
        f"Memory beyond the imports: {base / 1e6:.0f} MB + {state:.1f} x the bytes of weights, "
        f"gradients, optimizer states and averages + {saved:.1f} x what the forward passes keep."
    )


def predict(model: Figures, counts: Figures) -> list[Figures]:
    """This machine and one to eight accelerators, on the experiment's data and on ImageNet's."""
    gpu, rows = Accelerator(), []
    for name, images in (("own", 50_000), ("large", IMAGENET)):
        cost = counts[name]
        batch = cost["batch_size"]
        if model["steps"]:
            here = dot(model["seconds"], [1.0, cost["flops"], cost["bytes"]])
            rows.append({"data": name, "machine": "this machine", **rates(batch / here, images)})
        for devices in (1, DEVICES):
            seconds = gpu.step(cost) + gpu.reduction(cost, devices)
            machine = f"{devices} GPU{'s' if devices > 1 else ''}"
            rows.append(
                {"data": name, "machine": machine, **rates(devices * batch / seconds, images)}
            )
    return rows


def rates(images_per_second: float, images: int) -> Figures:
    return {"images_per_second": images_per_second, "epoch": images / images_per_second}


def forecast(figures: Figures) -> str:
    """The predictions with what they assume."""
    gpu = Accelerator()
    names = {"own": "50,000 of the experiment", "large": f"{IMAGENET:,} of 64x64x3"}
    rows = [
        [names[p["data"]], p["machine"], f"{p['images_per_second']:,.0f}", f"{p['epoch']:,.1f}"]
        for p in figures["predictions"]
    ]
    text = (
        f"Assumed of a GPU: {gpu.matrix / 1e12:.0f} TFLOP/s sustained in bfloat16, "
        f"{gpu.memory / 1e12:.1f} TB/s, {1e6 * gpu.launch:.0f} us to issue an operator, "
        f"{gpu.link / 1e9:.0f} GB/s and {1e6 * gpu.latency:.0f} us for an all-reduce. A step takes "
        "as long as the slowest of issuing, computing and moving; ranks add two all-reduces. The "
        "batch is the experiment's on each device. Networks this small are bound by the issuing: "
        "a larger batch costs a GPU next to nothing, and one job per GPU beats eight ranks.\n\n"
        f"ImageNet at 64x64 is {IMAGENET * LARGE_BYTES / 1e9:.1f} GB as uint8: above "
        "data.resident_limit it is gathered from a mapped file, so each batch adds a copy of its "
        "bytes to the device. FID of 10,000 images costs what it costs on digits."
    )
    return f"{table(['images', 'machine', 'images/s', 's an epoch'], rows)}\n\n{text}"
