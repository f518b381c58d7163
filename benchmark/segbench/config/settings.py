"""The settings of one cell, section by section, with defaults and what each accepts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from segbench.errors import ConfigError
from segbench.plugin.choice import parse_choice
from segbench.plugin.class_map import class_map_text
from segbench.util.folds import parse_fold
from segbench.util.image_size import parse_growing_size, parse_size

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
SizeText = int | str


def _as_value_error(check: Any, value: Any) -> Any:
    try:
        return check(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are final."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would read true as 1
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("it is no switch: true and false mean nothing here")
        return value


class NormalisationSettings(Section):
    """Mean and deviation per channel, in units of value * scale."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1.0


class DataSettings(Section):
    """``[data]``: the folder of the dataset, and the cache of decoded samples."""

    path: str | None = Field(None, description="folder of the dataset")
    cache_gb: float = Field(4.0, ge=0.0, description="bound of the decoded cache in 10**9 bytes; 0 switches it off")
    cache_dir: str | None = Field(None, description="where the decoded cache lies (default: the user's cache folder)")
    normalisation: dict[str, NormalisationSettings] = Field(
        default_factory=dict, description="of inputs for which the dataset declares none; computed from the training split where not given"
    )
    fold: str | None = Field(
        None,
        description="2/5: train on four of five parts of all splits but test, score on the second; --folds 5 runs all five",
    )
    limit: Positive | None = Field(
        None, description="at most so many images of each split: a quick try, which is neither ranked nor judged; none: all"
    )

    @field_validator("fold")
    @classmethod
    def _fold(cls, value: str | None) -> str | None:
        if value is not None:
            _as_value_error(parse_fold, value)
        return None if value is None else str(parse_fold(value))


class TrainSettings(Section):
    """``[train]``."""

    epochs: int = Field(50, ge=0, description="0: nothing is trained, the network is taken as its weights are")
    batch_size: Positive = 8
    image_size: SizeText = Field(512, description="N, HxW, or growing: 256@0,512@0.5")
    optimizer: str = Field("adamw", description="adamw, sgd, lion, .. (docs/training.md); each has learning rates of its own size")
    momentum: float | None = Field(None, ge=0.0, lt=1.0, description="of sgd and its kin; none: 0.9, or as the onecycle schedule moves it")
    lr: float = Field(1e-4, gt=0.0)
    encoder_lr: float = Field(1.0, gt=0.0, description="factor on the learning rate of what the model declares as its encoder")
    weight_decay: float = Field(1e-4, ge=0.0)
    decay_norms: bool = Field(True, description="false: no weight decay on biases, norms and what the network itself excludes")
    freeze: tuple[str, ...] = Field((), description="parts of the model, or dotted names of modules, that are not trained")
    ema: float | None = Field(
        None, gt=0.0, lt=1.0, description="decay of a moving average of the weights, which is validated, scored and kept; none: no average"
    )
    schedule: Literal["onecycle", "poly", "cosine", "plateau", "constant"] = "onecycle"
    augmentation: Literal["none", "standard", "enhanced", "crop"] | str = Field(
        "standard", description="none, standard, enhanced, crop, or a plugin's, as in NAME[option=1]: segbench list augmentations"
    )
    precision: Literal["auto", "bf16", "fp16", "off"] = "auto"
    patience: int | None = Field(None, ge=1, description="validations without a better score before training stops; none: never")
    clip: float | None = Field(1.0, gt=0.0, description="largest gradient norm; none: no clipping")
    accumulate: Positive = Field(
        1,
        description="batches per optimiser step; one large batch only for losses that are means over pixels, without batch normalisation: "
        "Dice takes its ratio in each batch",
    )
    workers: int | Literal["auto"] = "auto"
    split: str = "train"
    sampler: Literal["shuffled", "balanced"] = Field(
        "shuffled", description="balanced: draws images with replacement so that every class is seen as often"
    )
    select_on: str | None = Field("val", description="split that chooses the best checkpoint; none: the last one is kept")
    init_from: str | None = Field(None, description="trained network or file of weights to start from")
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False
    oom: Literal["fail", "halve"] = Field("fail", description="halve: on out of memory halve the batch and accumulate; marks the row")

    @field_validator("optimizer")
    @classmethod
    def _lower_case(cls, value: str) -> str:
        return value.strip().lower()

    @field_validator("freeze", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value or ()
        return tuple(dict.fromkeys(name.strip().rstrip(".") for name in names))

    @field_validator("freeze")
    @classmethod
    def _no_empty_name(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("names of parts or modules, such as encoder or (encoder,decoder.0)")
        return value

    @field_validator("image_size")
    @classmethod
    def _size(cls, value: SizeText) -> SizeText:
        _as_value_error(parse_growing_size, value)
        return value

    @field_validator("augmentation")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return str(_as_value_error(parse_choice, value))

    @property
    def as_given(self) -> bool:
        """True where nothing is trained: the network is taken as its weights are."""
        return self.epochs == 0

    @field_validator("workers")
    @classmethod
    def _workers(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 0:
            raise ValueError("at least 0, or auto")
        return value


class EvalSettings(Section):
    """``[eval]``."""

    split: str | None = Field(None, description="scored split; none: test where there is one, else val")
    image_size: SizeText | None = Field(None, description="N, HxW; none: the (last) training size")
    resize: Literal["keep-aspect", "warp", "none"] = Field("keep-aspect", description="none: images at their own size")
    tile: SizeText | None = Field(None, description="size of tiles for images too large for one pass")
    overlap: Share = Field(0.25, description="share by which tiles overlap")
    flip: bool = Field(False, description="test-time augmentation: average over the image and its mirror image")
    scales: tuple[float, ...] = Field((1.0,), description="test-time augmentation: average over the image at these scales")
    boundary: bool = Field(True, description="boundary IoU of the final score")
    calibration: bool = Field(True, description="calibration error and reliability curve of the final score")
    class_map: str | None = Field(
        None, description="which class of the network stands for which of the dataset, where names do not say: a:b,c:ignore or a file"
    )
    any_values: bool = Field(False, description="score a trained network on images whose values are far from those of its training")
    metrics: tuple[str, ...] = Field((), description="plugins' metrics that are computed beside: segbench list metrics")
    every: Positive = Field(1, description="validate every n epochs")
    batch_size: Positive | None = Field(None, description="none: the training batch size")
    pictures: int = Field(4, ge=0, description="how many fixed samples are pictured")
    pictures_every: int | None = Field(None, ge=1, description="also every n epochs; none: at the end only")

    @field_validator("resize", mode="before")
    @classmethod
    def _null_as_word(cls, value: Any) -> Any:
        return "none" if value is None else value  # in every other setting the word none is read as null

    @field_validator("scales", mode="before")
    @classmethod
    def _split_scales(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(","))
        return (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @field_validator("scales")
    @classmethod
    def _distinct_scales(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or len(set(value)) < len(value) or not all(0.1 <= scale <= 8 for scale in value):
            raise ValueError("different factors from 0.1 to 8, such as (0.75,1,1.25)")
        return value

    @field_validator("metrics", mode="before")
    @classmethod
    def _split_metrics(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value or ()
        return (
            tuple(dict.fromkeys(name.strip() if isinstance(name, str) else name for name in names))
            if isinstance(names, list | tuple)
            else value
        )

    @field_validator("image_size", "tile")
    @classmethod
    def _size(cls, value: SizeText | None) -> SizeText | None:
        if value is not None:
            _as_value_error(parse_size, value)
        return value

    @field_validator("class_map")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is None:
            return None
        text: str = _as_value_error(class_map_text, value)  # a file may have changed, or be gone, when the configuration is read again
        return text


class MeasureSettings(Section):
    """``[measure]``."""

    latency: bool = True
    memory: bool = True
    modules: bool = Field(True, description="time of each module, energy and a training step taken apart; only where latency is measured")
    batch_size: Positive = Field(8, description="batch of the throughput table; latency is always at batch 1")
    batch_sizes: tuple[Positive, ...] | None = Field(None, description="further batches, such as [2, 4]: cost against batch")
    input_size: SizeText | None = Field(None, description="N, HxW; none: the evaluation size")
    input_sizes: tuple[SizeText, ...] | None = Field(None, description="further sizes, such as [256, 640]: cost against size")
    rounds: Positive = 32
    restart_every: Positive | None = Field(2, description="rounds after which every network's process is started anew; none: never")
    threads: Positive | None = Field(None, description="CPU threads; none: all physical cores")
    race_modules: tuple[str, ...] = Field(
        (),
        description="modules of the networks that the race also times by themselves, on the inputs of one image: dotted names or classes, "
        "such as decoder.attention or MyAttention; A+B times both together",
    )
    anchor: bool = Field(True, description="a fixed reference network takes part in each race, so that 'segbench compare' can relate races")

    @field_validator("input_size")
    @classmethod
    def _size(cls, value: SizeText | None) -> SizeText | None:
        if value is not None:
            _as_value_error(parse_size, value)
        return value

    @field_validator("input_sizes", "batch_sizes", mode="before")
    @classmethod
    def _split_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(","))
        return (value,) if isinstance(value, int) else value

    @field_validator("race_modules", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value or ()
        return tuple(dict.fromkeys(name for each in names if (name := "+".join(part.strip() for part in str(each).split("+")))))

    @field_validator("input_sizes")
    @classmethod
    def _sizes(cls, value: tuple[SizeText, ...] | None) -> tuple[SizeText, ...] | None:
        for size in value or ():
            _as_value_error(parse_size, size)
        return value


class DeploySettings(Section):
    """``[deploy]``: what is checked of every backend but eager."""

    quality: bool = Field(True, description="score each deployed form again on the scored split")
    calibration: Positive = Field(128, description="training images that quantization is calibrated on")
    drift_images: Positive = Field(8, description="images of the scored split on which logits are compared with the eager network's")


class ExecuteSettings(Section):
    """``[execute]``."""

    where: Literal["process", "inline"] = Field("process", description="each cell in a process of its own, or in this one (for debuggers)")
    devices: Positive = Field(1, description="processes that train one cell together")
    timeout: float | None = Field(None, gt=0.0, description="seconds after which a cell is ended; none: never")
    silence: float | None = Field(3600.0, gt=0.0, description="seconds without a sign of life after which a cell counts as hung")


class Settings(Section):
    """Everything that one cell needs beside its model, loss, dataset and seed."""

    model: dict[str, Any] = Field(default_factory=dict)
    data: DataSettings = Field(default_factory=DataSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    eval: EvalSettings = Field(default_factory=EvalSettings)
    measure: MeasureSettings = Field(default_factory=MeasureSettings)
    deploy: DeploySettings = Field(default_factory=DeploySettings)
    execute: ExecuteSettings = Field(default_factory=ExecuteSettings)


SECTIONS: tuple[str, ...] = tuple(Settings.model_fields)
