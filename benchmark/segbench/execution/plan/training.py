"""Settings of training that a model or this machine cannot take, refused before anything is trained."""

from __future__ import annotations

from segbench.config.settings import TrainSettings
from segbench.errors import ConfigError
from segbench.plugin.specs import ModelSpec


def refuse_training(spec: ModelSpec, train: TrainSettings) -> None:
    """Raise :class:`ConfigError` for an optimiser that cannot be had, and for learning rates of an encoder that there is none of."""
    if train.optimizer != "adamw" or train.momentum is not None:
        from segbench.training.optimizers import check_optimizer  # it needs torch, which most plans do not

        check_optimizer(train)
    if train.encoder_lr == 1.0:
        return
    if not spec.parts.get("encoder"):
        parts = f"It names {', '.join(spec.parts)}." if spec.parts else "It names no parts."
        raise ConfigError(
            f"train.encoder_lr = {train.encoder_lr:g}: model '{spec.name}' does not say which of its modules are the encoder. {parts} "
            'Leave the setting out, or give ModelSpec.parts an "encoder".'
        )
    if "encoder" in train.freeze:
        raise ConfigError("train.encoder_lr means nothing for an encoder that train.freeze keeps as it is. Leave one of the two out.")
