from torch import nn

from segbench import ModelSpec, Options, Task, hookimpl, option


class TinyOptions(Options):
    channels: int = option(32, minimum=1, help="width of the network")


def build(task: Task, options: TinyOptions) -> nn.Module:
    first = nn.Conv2d(task.inputs["image"], options.channels, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(options.channels, task.num_classes, 1))


@hookimpl
def segbench_models() -> list[ModelSpec]:
    return [ModelSpec(name="tiny", summary="Two convolutions", build=build, options=TinyOptions, head=("2.",))]
