from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from segbench.measure.contender import Conditions, Contender, LocalContender, local_contender, quiet_environment
from segbench.measure.latency import TimingBudget, join_starts, measure_latency, race
from segbench.results.records import Latency

CONDITIONS = Conditions(batch_size=4, input_size=(32, 48), device="cpu", threads=1)


class FakeClock:
    """Time that passes only when a call says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def call_taking(self, milliseconds: Callable[[int], float]) -> Callable[[], None]:
        """A call whose n-th use (from 0) takes so long."""
        used = iter(range(10**9))

        def call() -> None:
            self.now += milliseconds(next(used)) / 1e3

        return call


def _measure(clock: FakeClock, milliseconds: Callable[[int], float], budget: TimingBudget) -> Latency:
    call = clock.call_taking(milliseconds)
    return measure_latency(call, batch_size=4, input_size=(32, 48), device="cpu", threads=1, budget=budget, clock=clock)


@pytest.mark.clock
def test_a_sleep_of_known_length_is_measured() -> None:
    budget = TimingBudget(rounds=6, min_calls=1, max_calls=2, min_round_seconds=0.02)
    latency = measure_latency(lambda: time.sleep(0.02), batch_size=4, input_size=(32, 48), device="cpu", threads=1, budget=budget)
    assert latency.p50_ms is not None
    assert 20 <= latency.p50_ms < 50
    assert latency.images_per_second is not None
    assert latency.images_per_second <= 200
    assert (latency.clock, latency.device, latency.batch_size, latency.input_size) == ("perf_counter", "cpu", 4, (32, 48))


def test_the_first_call_stands_apart_and_the_warm_up_is_dropped() -> None:
    latency = _measure(FakeClock(), lambda n: 500.0 if n == 0 else max(30.0 - 2 * n, 10.0), TimingBudget(rounds=2))
    assert latency.first_ms == pytest.approx(500)
    assert latency.warmup_calls is not None
    assert latency.warmup_calls >= 15
    assert latency.samples_ms == pytest.approx([10.0] * len(latency.samples_ms))
    assert latency.notes == []


def test_warm_up_has_a_cap_and_says_so() -> None:
    latency = _measure(FakeClock(), lambda n: 1e4 - n, TimingBudget(rounds=1, max_warmup_calls=40, max_warmup_seconds=1e9))
    assert latency.warmup_calls == 40
    assert latency.notes == ["still getting faster after 40 warm-up calls"]
    slow = _measure(FakeClock(), lambda n: 4000.0, TimingBudget(rounds=1, max_warmup_seconds=10.0))
    assert slow.warmup_calls == 5


@pytest.mark.parametrize(("milliseconds", "calls"), [(100.0, 5), (10.0, 20), (0.5, 200)])
def test_a_block_is_long_enough_but_bounded(milliseconds: float, calls: int) -> None:
    latency = _measure(FakeClock(), lambda n: milliseconds, TimingBudget(rounds=3, min_calls=5, max_calls=200, min_round_seconds=0.2))
    assert [len(block) for block in latency.rounds_ms] == pytest.approx([calls] * 3, abs=1)


def test_every_sample_is_kept_outliers_too() -> None:
    latency = _measure(FakeClock(), lambda n: 1000.0 if n == 25 else 10.0, TimingBudget(rounds=2))
    assert max(latency.samples_ms) == pytest.approx(1000)
    assert [sample for block in latency.rounds_ms for sample in block] == latency.samples_ms
    assert latency.mean_ms == pytest.approx(statistics.fmean(latency.samples_ms))
    assert latency.images_per_second == pytest.approx(400), "at the median, as comparisons of throughput are"


def test_quantiles_are_null_until_there_are_samples_enough() -> None:
    few = _measure(FakeClock(), lambda n: 50.0, TimingBudget(rounds=2))
    assert few.p50_ms == pytest.approx(50)
    assert (few.p90_ms, few.p99_ms, few.ci95_ms) == (None, None, None)
    assert few.no_interval == dict.fromkeys(("p50", "p90", "p99"), "it takes 6 rounds, these are 2")
    many = _measure(FakeClock(), lambda n: 1.0, TimingBudget(rounds=6, max_calls=100))
    assert many.p90_ms == pytest.approx(1)
    assert many.p99_ms == pytest.approx(1)
    assert many.ci95_ms is None
    assert set(many.no_interval.values()) == {"it takes 3 starts of the process to see how they differ, there was 1"}
    whole = join_starts([many, many, many])
    assert all(interval == pytest.approx((1, 1)) for interval in (whole.ci95_ms, whole.p90_ci95_ms, whole.p99_ci95_ms))
    assert whole.no_interval == {}


def test_a_race_shuffles_the_order_of_each_round_and_keeps_contenders_apart() -> None:
    clock = FakeClock()
    log: list[str] = []

    def contender(name: str, milliseconds: float) -> Contender:
        inner = clock.call_taking(lambda n: milliseconds)

        def call() -> None:
            log.append(name)
            inner()

        return LocalContender(name, call, CONDITIONS, clock=clock)

    result = race(
        [contender(name, ms) for name, ms in (("a", 10), ("b", 20), ("c", 40))], seed=3, budget=TimingBudget(rounds=12), clock=clock
    )
    assert {name: latency.p50_ms for name, latency in result.latencies.items()} == pytest.approx({"a": 10, "b": 20, "c": 40})
    assert all(sorted(turn) == ["a", "b", "c"] for turn in result.order)
    assert len({tuple(turn) for turn in result.order}) > 1
    switches = sum(one != other for one, other in pairwise(log))
    assert switches <= 3 + 3 * 12  # whole blocks, never call by call
    again = race(
        [contender(name, ms) for name, ms in (("a", 10), ("b", 20), ("c", 40))], seed=3, budget=TimingBudget(rounds=12), clock=clock
    )
    assert again.order == result.order


def test_drift_of_the_machine_hits_all_contenders_alike() -> None:
    """While the machine gets slower by half, two equal contenders stay equal within two per cent, which one after the other would not."""
    clock = FakeClock()

    def call() -> None:
        clock.now += 0.01 * (1 + (clock.now - 100) / 100)

    twins: list[Contender] = [LocalContender(name, call, CONDITIONS, clock=clock) for name in ("a", "b")]
    result = race(twins, seed=0, budget=TimingBudget(rounds=60), clock=clock)
    a, b = (result.latencies[name].mean_ms for name in "ab")
    assert a is not None
    assert b is not None
    assert max(result.latencies["a"].samples_ms) > 1.2 * min(result.latencies["a"].samples_ms)
    assert a / b == pytest.approx(1, abs=0.02)


def test_a_contender_that_fails_falls_out_with_its_reason_and_the_others_go_on() -> None:
    clock = FakeClock()

    def failing_after(calls: int) -> Callable[[], None]:
        def milliseconds(n: int) -> float:
            if n >= calls:
                raise MemoryError("out of memory")
            return 10.0

        return clock.call_taking(milliseconds)

    result = race(
        [
            LocalContender("at once", failing_after(0), CONDITIONS, clock=clock),
            LocalContender("late", failing_after(60), CONDITIONS, clock=clock),
            LocalContender("well", clock.call_taking(lambda n: 10.0), CONDITIONS, clock=clock),
        ],
        seed=0,
        budget=TimingBudget(rounds=8),
        clock=clock,
    )
    assert result.errors == {"at once": "MemoryError: out of memory", "late": "MemoryError: out of memory"}
    assert list(result.latencies) == ["well"]
    assert len(result.latencies["well"].rounds_ms) == 8


def test_a_contender_may_live_anywhere() -> None:
    class Remote:
        """Answers as a process at the other end of a pipe would."""

        name = "remote"
        conditions = CONDITIONS

        def block(self, calls: int) -> list[float]:
            return [2.5] * (calls if calls < 70 else calls - 1)

    result = race([Remote()], seed=0, budget=TimingBudget(rounds=2, max_calls=40))
    assert result.latencies["remote"].p50_ms == 2.5
    short = race([Remote()], seed=0, budget=TimingBudget(rounds=2, max_calls=60))
    assert short.errors == {"remote": "RuntimeError: asked for 76 calls, got 75 times"}


def test_two_contenders_of_one_name_are_refused() -> None:
    twins: list[Contender] = [LocalContender("a", lambda: None, CONDITIONS)] * 2
    with pytest.raises(ValueError, match="different names: a, a"):
        race(twins, seed=0)


def test_a_race_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        TimingBudget(rounds=0)


def test_idle_threads_are_told_not_to_spin() -> None:
    environment = quiet_environment()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    environment["OMP_WAIT_POLICY"] = "ACTIVE"
    assert quiet_environment()["OMP_WAIT_POLICY"] == "PASSIVE"


def test_time_of_the_device_and_of_the_host_are_both_given_where_events_measure() -> None:
    clock = FakeClock()

    class Device:
        """Its events say 10 ms; launching and waiting makes it 15 for the host."""

        name = "device"
        conditions = Conditions(batch_size=1, input_size=(8, 8), device="cuda", clock="cuda_event")

        def block(self, calls: int) -> list[float]:
            clock.now += 0.015 * calls
            return [10.0] * calls

    latency = race([Device()], seed=0, budget=TimingBudget(rounds=6), clock=clock).latencies["device"]
    assert latency.p50_ms == 10.0
    assert latency.host_p50_ms == pytest.approx(15.0)
    assert _measure(FakeClock(), lambda n: 10.0, TimingBudget(rounds=2)).host_p50_ms is None, "on a CPU they are one"


def test_intervals_of_all_quantiles_are_given_where_there_are_samples_enough() -> None:
    latency = join_starts([_measure(FakeClock(), lambda n: 1.0 + (n % 10 == 0), TimingBudget(rounds=2, max_calls=100))] * 4)
    assert latency.ci95_ms == pytest.approx((1.0, 1.0))
    assert latency.p90_ci95_ms is not None
    assert latency.p99_ci95_ms == pytest.approx((2.0, 2.0))
    few = join_starts([_measure(FakeClock(), lambda n: 20.0, TimingBudget(rounds=2, min_calls=20, max_calls=20))] * 4)
    assert few.p90_ms == pytest.approx(20)
    assert few.p90_ci95_ms == pytest.approx((20, 20))
    assert few.p99_ci95_ms is None
    assert few.no_interval == {"p99": "it takes 299 calls, these are 160"}


def test_starts_are_joined_into_one_latency_whose_interval_knows_them() -> None:
    steady = TimingBudget(rounds=4, max_calls=40)

    def start(milliseconds: float) -> Latency:
        return _measure(FakeClock(), lambda n: milliseconds, steady)

    starts = [start(milliseconds) for milliseconds in (10.0, 10.4, 10.2)]
    whole = join_starts(starts)
    assert whole.start_rounds == [4, 4, 4]
    assert whole.rounds_ms == [block for one in starts for block in one.rounds_ms]
    assert whole.samples_ms == [x for block in whole.rounds_ms for x in block]
    assert len(whole.lead_in_ms) == 12
    assert whole.p50_ms == pytest.approx(10.2)
    assert whole.images_per_second == pytest.approx(whole.batch_size * 1e3 / 10.2)
    assert all(one.ci95_ms is None for one in starts), "four rounds tell nothing"
    logs = [math.log(milliseconds) for milliseconds in (10.0, 10.4, 10.2)]
    reach = 4.302653 * statistics.stdev(logs) / math.sqrt(3)
    assert whole.ci95_ms == pytest.approx((10.2 * math.exp(-reach), 10.2 * math.exp(reach)))
    assert whole.ci95_ms is not None
    assert whole.rate_ci95 == pytest.approx((whole.batch_size * 1e3 / whole.ci95_ms[1], whole.batch_size * 1e3 / whole.ci95_ms[0]))
    assert join_starts(starts[:1]) is starts[0]


def test_times_that_rise_and_fall_slowly_are_warned_of() -> None:
    def start(milliseconds: float) -> Latency:
        return _measure(FakeClock(), lambda n: milliseconds, TimingBudget(rounds=2, max_calls=10))

    slow = join_starts([start(10 + math.sin(i / 16 * math.pi)) for i in range(16)])
    assert slow.notes == ["its times rose and fell slowly, over several starts: intervals are 3.3 times as wide because of it"]
    quick = join_starts([start(10 + i % 2) for i in range(16)])
    assert quick.notes == []


@pytest.mark.gpu
def test_on_a_gpu_events_measure_the_device_not_the_launch() -> None:
    import torch

    work = torch.rand(4096, 4096, device="cuda")
    contender = local_contender("a", lambda: work @ work, batch_size=1, input_size=(1, 1), device="cuda")
    result = race([contender], seed=0, budget=TimingBudget(rounds=6))
    latency = result.latencies["a"]
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(50):
        work @ work
    torch.cuda.synchronize()
    per_call = (time.perf_counter() - start) * 1e3 / 50
    assert latency.p50_ms == pytest.approx(per_call, rel=0.2)
    assert latency.clock == "cuda_event"
    assert latency.host_p50_ms is not None
    assert latency.p50_ms is not None
    assert latency.host_p50_ms >= latency.p50_ms * 0.9
