"""The section that defines each column of the main table in a sentence."""

from __future__ import annotations

from segbench_reports.text.markdown import bullets
from segbench_reports.view.main_table import Table

MEANINGS = {
    "miou": (
        "**mIoU**: intersection over union, averaged over the classes that have labels in the scored split; from one confusion matrix over "
        "the whole split, at the labels' own resolution (logits are resized to the label, labels never are)."
    ),
    "headline_iou": "**IoU** of one class: the same, for the class that the task is about.",
    "training_score": "**training score**: mIoU on a split that was trained on. It is not comparable with mIoU.",
    "params": "**params**: parameters of the model as deployed, in millions (10⁶); auxiliary heads that only training needs are left out.",
    "size_mb": "**size**: these parameters as 32-bit floats, in MB of 2²⁰ bytes.",
    "macs": (
        "**MACs**: multiply-adds of convolutions, linear layers and matrix products for one image, in thousand millions (10⁹); "
        "FLOPs are twice that."
    ),
    "latency_ms": (
        "**latency**: median time of one call with one image, after warm-up, with fixed threads; no call is discarded as an outlier."
    ),
    "images_per_second": "**throughput**: images per second where whole batches are passed.",
    "inference_peak_mb": (
        "**peak memory**: the highest use during one call, of the process on a CPU and of the allocator on CUDA, weights included, "
        "in MB of 2²⁰ bytes."
    ),
    "train_images_per_second": "**training**: images per second while training, validation left out.",
}


def meaning(table: Table) -> str:
    """Definitions of the columns that the table has."""
    lines = [MEANINGS[column.key] for column in table.columns]
    return bullets([*lines, "**–**: not measured."]) if lines else ""
