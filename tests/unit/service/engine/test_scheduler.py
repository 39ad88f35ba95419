"""Which rows share the next tick: plain Python, no tensors. Time is simulated: a tick takes what the curve says."""

import itertools
import random
from dataclasses import replace

import pytest

from service.engine.scheduler import (
    AIM,
    BACKGROUND_PATIENCE,
    BACKGROUND_SHARE,
    HELD_UP,
    HELD_UP_IN_BACKGROUND,
    PROMISE,
    SHARED_TICK,
    VISITED_FOR,
    Scheduler,
    Tick,
)
from service.engine.speed_curve import SpeedCurve

# Milliseconds a pass, as measured of a small UNet on two cores in bfloat16.
UNET = {4: 0.0101, 8: 0.0108, 12: 0.0142, 16: 0.0175, 24: 0.0244, 32: 0.0316, 48: 0.0444, 64: 0.0602}
# Not measured: of a backend that takes any size, down to one row.
ANY_SIZE = {1: 0.0035, 2: 0.0052, 4: 0.0086, 8: 0.0155, 16: 0.029, 32: 0.0565, 64: 0.112}
MLP = {64: 0.0004, 256: 0.001, 1024: 0.0032}


def curves(**seconds: dict[int, float]) -> dict[str, SpeedCurve]:
    return {name: SpeedCurve(of) for name, of in seconds.items()}


def images(seconds: dict[int, float]) -> dict[str, SpeedCurve]:
    """One model `m`, which takes any size where one is known of."""
    return {"m": SpeedCurve(seconds, any_size=1 in seconds)}


both_curves = pytest.mark.parametrize("seconds", [UNET, ANY_SIZE], ids=["sizes", "any"])


def even(size: int) -> dict[str, SpeedCurve]:
    """One model `m` of one batch size, a second a tick."""
    return curves(m={size: 1.0})


class Device:
    """Runs a scheduler's ticks one after the other. `unsteady`: they take longer than the curve says, by so much on
    average, and the curve learns from them."""

    def __init__(self, of: dict[str, SpeedCurve], unsteady: float = 0.0):
        self.curves, self.unsteady = of, unsteady
        self.truth = {name: SpeedCurve(curve._seconds, any_size=curve.any_size) for name, curve in of.items()}
        self.evaluations = 0
        self.scheduler = Scheduler(of)
        self.now = 0.0
        self._numbers = itertools.count()
        self.came: dict[int, float] = {}
        self.took: dict[int, float] = {}

    def ask(self, model="m", rows=1, steps=10, cost=1, background=False) -> int:
        number = next(self._numbers)
        self.came[number] = self.now
        self.scheduler.add(number, model, rows=rows, network_evaluations_by_step=(cost,) * steps, background=background)
        return number

    def tick(self) -> Tick:
        tick = self.scheduler.next_tick()
        seconds = self.truth[tick.model].seconds(tick.size)
        if self.unsteady:
            seconds *= 1 + random.uniform(0, 2 * self.unsteady)
            self.curves[tick.model].learn(tick.size, seconds, idle=tick.idle)
        self.now += seconds
        self.evaluations += tick.network_evaluations
        for number in self.scheduler.advance(tick, seconds):
            self.took[number] = self.now - self.came[number]
        return tick

    def finish(self, number: int) -> float:
        while number not in self.took:
            self.tick()
        return self.took[number]


def alone(of: dict[str, SpeedCurve], **job) -> float:
    device = Device(of)
    return device.finish(device.ask(**job))


def test_every_row_gets_every_one_of_its_steps_exactly_once():
    random.seed(0)
    scheduler = Scheduler(curves(a={4: 0.5, 8: 0.8}, b={2: 0.1, 16: 0.4}))
    jobs = {
        job: dict(model=random.choice("ab"), rows=random.randint(1, 40),
                  network_evaluations_by_step=random.choices([1, 2], k=random.randint(1, 20)))
        for job in range(60)
    }  # fmt: skip
    steps = {job: len(it["network_evaluations_by_step"]) for job, it in jobs.items()}
    done = {(job, row): 0 for job, it in jobs.items() for row in range(it["rows"])}
    waiting = iter(jobs)
    finished = []
    for _ in range(100_000):
        if random.random() < 0.5 and (job := next(waiting, None)) is not None:
            scheduler.add(job, **jobs[job])
        if not scheduler:
            continue
        tick = scheduler.next_tick()
        assert 0 < tick.network_evaluations <= tick.size <= {"a": 8, "b": 16}[tick.model]
        assert tick.network_evaluations == sum(
            len(it) * jobs[it.job]["network_evaluations_by_step"][it.step] for it in tick.slices
        )
        for piece in tick.slices:
            assert jobs[piece.job]["model"] == tick.model
            for row in range(piece.start, piece.stop):
                assert done[piece.job, row] == piece.step
                done[piece.job, row] += 1
        for job in scheduler.advance(tick, 0.5):
            assert all(done[job, row] == steps[job] for row in range(jobs[job]["rows"]))
            finished.append(job)
        if len(finished) == len(jobs):
            break
    assert sorted(finished) == list(jobs) and not scheduler
    assert all(count == steps[job] for (job, _), count in done.items())


def test_a_request_that_arrives_joins_the_next_tick():
    device = Device(even(8))
    first = device.ask(rows=4, steps=1000)
    device.tick()
    second = device.ask(rows=4, steps=10)
    assert {piece.job for piece in device.tick().slices} == {first, second}


def test_little_left_goes_before_much_and_short_jobs_before_the_end_of_long_ones():
    device = Device(even(4))
    long = device.ask(rows=4, steps=100)
    for _ in range(90):
        device.tick()
    longer = device.ask(rows=4, steps=100)
    short = device.ask(rows=4, steps=10)
    assert device.finish(short) < device.finish(long) + device.came[long] - device.came[short]
    assert longer not in device.took


def saturated(of: dict[str, SpeedCurve], model="m", rows=1, steps=1000, jobs=200, unsteady=0.0) -> Device:
    """A device with long jobs at every stage of their lives, more than fit."""
    device = Device(of, unsteady)
    for _ in range(jobs):
        device.ask(model, rows=rows, steps=steps)
        for _ in range(random.randint(0, 20)):
            device.tick()
    return device


@pytest.mark.parametrize(
    ("seconds", "rows", "unsteady"), [(UNET, 1, 0.1), (UNET, 64, 0.0), (ANY_SIZE, 1, 0.1), (ANY_SIZE, 64, 0.1)]
)
def test_a_short_request_among_saturating_long_ones_takes_at_most_twice_its_time_alone(seconds, rows, unsteady):
    """At the 99th percentile, from any moment on: the tick in hand is waited for."""
    random.seed(rows)
    device, expected = (
        saturated(images(seconds), rows=rows, jobs=50, unsteady=unsteady),
        alone(images(seconds), steps=10),
    )
    slowdowns = []
    for _ in range(60):
        came = device.now + random.uniform(0, 0.2)
        while device.now < came:
            device.tick()
        short = device.ask(steps=10)
        device.came[short] = came
        slowdowns.append(device.finish(short) / expected)
        while len(device.came) - len(device.took) < 50:
            device.ask(rows=rows, steps=1000)
    slowdowns.sort()
    assert slowdowns[58] <= 2.0


@both_curves
def test_a_long_request_under_a_stream_of_short_ones_keeps_a_quarter_of_its_speed(seconds):
    device = Device(images(seconds))
    long = device.ask(steps=1000)
    while long not in device.took:
        while len(device.came) - len(device.took) < 65:
            device.ask(steps=10)
        device.tick()
    assert device.took[long] <= 4.0 * alone(images(seconds), steps=1000)


@both_curves
def test_a_saturating_mixed_load_keeps_the_device_nearly_as_busy_as_it_can_be(seconds):
    random.seed(6)
    device = Device(images(seconds))
    for _ in range(300):
        while len(device.came) - len(device.took) < 32:
            device.ask(rows=random.choice([1, 2, 4, 8, 16, 32, 64]), steps=random.choice([5, 10, 10, 20, 20, 50]))
        device.tick()
    assert device.evaluations / device.now >= 0.95 * max(device.truth["m"].rates.values())


@both_curves
def test_for_a_while_after_a_short_request_the_next_one_would_not_wait_long_for_a_tick_of_long_ones(seconds):
    random.seed(7)
    of = images(seconds)
    device = saturated(of, jobs=50)
    device.finish(device.ask(steps=10))
    longest = max(of["m"].seconds(device.tick().size) for _ in range(100))
    assert of["m"].seconds(4) <= longest <= HELD_UP * alone(images(seconds), steps=10)
    until = device.now + VISITED_FOR
    while device.now < until:
        device.tick()
    assert device.tick().size == of["m"].knee


def test_models_share_the_device_by_the_same_rules():
    """Points in milliseconds beside saturating images; and images beside a stream of points."""
    random.seed(1)
    of = curves(images=UNET, points=MLP)
    points = dict(model="points", rows=500, steps=25)
    device = saturated(of, model="images")
    for _ in range(50):
        assert device.finish(device.ask(**points)) <= PROMISE * alone(of, **points)
    device = Device(of)
    long = device.ask("images", steps=100)
    while long not in device.took:
        while len(device.came) - len(device.took) < 20:
            device.ask(**points)
        device.tick()
    assert device.took[long] <= 4.1 * alone(of, model="images", steps=100)


def test_long_requests_alone_run_at_the_knee():
    random.seed(2)
    device = saturated(curves(m=UNET))
    sizes = [device.tick().size for _ in range(500)]
    assert device.curves["m"].knee == 48
    # The others: a larger size looked at again, and the oldest job's own, where it had fallen far behind.
    assert sum(size == 48 for size in sizes) >= 450


def test_ticks_shrink_no_more_than_the_promise_to_short_rows_asks():
    """Beside saturating long work a short job is done late rather than soon: small ticks waste the device."""
    random.seed(3)
    of = curves(m=UNET)
    device = saturated(of)
    number = device.ask(steps=10)
    sizes = []
    while number not in device.took:
        sizes.append(device.tick().size)
    assert min(sizes) > 8
    assert max(sizes) < device.curves["m"].knee
    assert device.took[number] <= AIM * alone(of, steps=10)


def test_a_promise_that_cannot_be_kept_any_more_shrinks_nothing():
    device = Device(curves(m=UNET))
    for _ in range(100):
        device.ask(steps=1000)
    late = device.ask(steps=10)
    device.scheduler._now += 10.0  # an age passes
    assert device.tick().size == 48
    assert late not in device.took


def test_many_short_requests_fill_large_ticks():
    device = Device(curves(m=UNET))
    for _ in range(40):
        device.ask(steps=1000)
    for _ in range(40):
        device.ask(steps=10)
    assert device.tick().size >= 48


def test_many_points_are_one_slice_and_are_cut_only_to_fit():
    device = Device(even(1024))
    number = device.ask(rows=10_000, steps=1, cost=2)
    sizes = []
    while number not in device.took:
        (piece,) = device.tick().slices
        sizes.append(len(piece))
    assert sizes == [512] * 19 + [272]


def test_cuts_heal_and_a_jobs_rows_stay_together():
    device = Device(even(4))
    number = device.ask(rows=10, steps=3)
    for _ in range(20):
        if number in device.took:
            break
        waiting = device.scheduler._jobs[number].waiting
        assert len(waiting) <= 2
        assert max(piece.step for piece in waiting) - min(piece.step for piece in waiting) <= 1
        device.tick()
    assert number in device.took


def test_removed_rows_never_run_again_nor_finish():
    scheduler = Scheduler(even(4))
    for job in (1, 2):
        scheduler.add(job, "m", rows=4, network_evaluations_by_step=(1, 1))
    tick = scheduler.next_tick()
    gone = tick.slices[0].job
    scheduler.remove(gone)
    assert list(scheduler.advance(tick, 1.0)) == []
    ticks = [scheduler.next_tick()]
    assert list(scheduler.advance(ticks[0], 1.0)) == []
    ticks.append(scheduler.next_tick())
    assert list(scheduler.advance(ticks[1], 1.0)) == [3 - gone]
    assert {piece.job for tick in ticks for piece in tick.slices} == {3 - gone} and not scheduler


@pytest.mark.parametrize("cost", [1, 2])
def test_cost_is_counted_in_network_evaluations(cost):
    scheduler = Scheduler(even(8))
    scheduler.add(1, "m", rows=100, network_evaluations_by_step=(cost,))
    assert len(scheduler.next_tick().slices[0]) == 8 // cost


def test_a_guided_row_gets_its_two_evaluations_where_a_size_holds_one_only():
    device = Device(curves(m={1: 1.0, 8: 8.0}))  # the knee is at 1
    device.ask(rows=3, steps=2, cost=2)
    assert device.tick().network_evaluations == 6


def test_a_step_that_costs_more_takes_more_of_a_tick():
    scheduler = Scheduler(curves(m={8: 0.1}))
    scheduler.add(1, "m", rows=8, network_evaluations_by_step=(1, 2, 1))
    seen = []
    while scheduler:
        tick = scheduler.next_tick()
        seen.append((tick.slices[0].step, sum(map(len, tick.slices)), tick.network_evaluations))
        list(scheduler.advance(tick, 0.1))
    assert seen == [(0, 8, 8), (1, 4, 8), (1, 4, 8), (2, 8, 8)]


def test_rows_whose_next_step_does_not_fit_leave_room_to_rows_whose_step_does():
    scheduler = Scheduler(curves(m={3: 0.1}))
    scheduler.add(1, "m", rows=1, network_evaluations_by_step=(2,))
    scheduler.add(2, "m", rows=1, network_evaluations_by_step=(2, 2, 2))
    scheduler.add(3, "m", rows=1, network_evaluations_by_step=(1,) * 9)
    assert [piece.job for piece in scheduler.next_tick().slices] == [1, 3]


def test_a_job_of_unequal_steps_is_as_much_work_as_their_sum():
    of = curves(m={4: 0.1, 8: 0.2})
    uneven, even = Scheduler(of), Scheduler(of)
    uneven.add(1, "m", rows=4, network_evaluations_by_step=(1, 2, 1, 2))
    even.add(1, "m", rows=6, network_evaluations_by_step=(1, 1, 1, 1))
    assert uneven._jobs[1].work == even._jobs[1].work == 24
    assert uneven._jobs[1].pass_evaluations == even._jobs[1].pass_evaluations == 6


def background_part(device: Device, background: int, ticks: int) -> float:
    """Its part of the device's time over so many ticks."""
    began, own = device.now, 0.0
    for _ in range(ticks):
        before = device.now
        tick = device.tick()
        rows = sum(len(piece) for piece in tick.slices if piece.job == background)
        own += (device.now - before) * rows / tick.network_evaluations
    return own / (device.now - began)


def test_background_jobs_alone_run_at_the_knee_and_in_the_order_in_which_they_came():
    device = Device(curves(m=UNET))
    first, second = device.ask(rows=1000, background=True), device.ask(rows=10, background=True)
    sizes = [device.tick().size for _ in range(100)]
    assert sum(size == 48 for size in sizes) >= 95
    assert device.finish(first) < device.finish(second)


def test_a_request_overtakes_background_jobs_and_waits_for_the_tick_in_hand_alone():
    of = curves(m=UNET)
    device, expected = Device(of), alone(of, steps=25)
    device.ask(rows=10_000, steps=25, background=True)
    device.tick()
    number = device.ask(steps=25)
    assert device.finish(number) <= SHARED_TICK * expected
    assert device.tick().size == 32, "while requests come, the tick that the next one has to wait for is small"
    assert of["m"].seconds(32) <= HELD_UP_IN_BACKGROUND * expected < of["m"].seconds(48)
    device.finish(device.ask(steps=2))
    assert device.tick().size == 4, "the shortest of them counts, and no batch is smaller"
    for _ in range(int(VISITED_FOR / of["m"].seconds(4)) + 1):
        device.tick()
    assert device.tick().size == 48


def latencies(of: dict[str, SpeedCurve], steps: int, load: float, *, beside: bool) -> tuple[float, float]:
    """The 99th percentile of how long requests of one row take that come at random moments, over their time alone; and
    what a background job got of the device. `load`: of the device, by the requests alone."""
    draw, device, expected = random.Random(7), Device(of), alone(of, steps=steps)
    background = device.ask(rows=10**9, steps=2, background=True) if beside else None
    arrivals = list(itertools.accumulate(draw.expovariate(load / expected) for _ in range(250)))
    asked, rows = {}, 0
    for arrival in arrivals:
        while device.now < arrival:
            if not device.scheduler:  # until the next one comes nothing is to do
                device.scheduler._now += arrival - device.now
                device.now = arrival
                break
            rows += sum(len(piece) for piece in device.tick().slices if piece.job == background)
        number = device.ask(steps=steps)
        asked[number], device.came[number] = arrival, arrival
    for number in asked:
        device.finish(number)
    took = sorted(device.took[number] for number in asked)
    return took[247] / expected, rows / device.now / of["m"].rate


@pytest.mark.parametrize("load", [0.1, 0.5])
@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("curve", [SpeedCurve(UNET), SpeedCurve(ANY_SIZE, any_size=True)], ids=["sizes", "any"])
def test_beside_a_job_requests_take_nearly_as_long_as_without(curve, steps, load):
    of = {"m": curve}
    (without, _), (beside, share) = (latencies(of, steps, load, beside=job) for job in (False, True))
    assert beside <= 1.15 * without
    assert share >= BACKGROUND_SHARE


def test_background_rows_ride_in_ticks_that_they_hardly_lengthen():
    """Eight evaluations take about as long as four, so four rows ride along; those of another model do not."""
    of = curves(m={4: 1.0, 8: SHARED_TICK - 0.01, 16: 2.0}, other={4: 1.0})
    device = Device(of)
    other = device.ask("other", rows=100, background=True)
    rider = device.ask(rows=100, background=True)
    request = device.ask(rows=4)
    tick = device.tick()
    assert {piece.job: len(piece) for piece in tick.slices} == {request: 4, rider: 4} and tick.size == 8
    assert other not in {piece.job for piece in tick.slices}


@pytest.mark.parametrize("model", ["m", "other"])
def test_background_jobs_keep_a_tenth_of_a_saturated_device(model):
    random.seed(4)
    device = saturated(curves(m=UNET, other={4: 0.01, 8: 0.0201}), rows=8, jobs=30)
    background = device.ask(model, rows=10**6, background=True)
    while device.scheduler._background_owed < BACKGROUND_PATIENCE:
        device.tick()
    part = background_part(device, background, 1500)
    assert BACKGROUND_SHARE - 0.01 <= part <= BACKGROUND_SHARE + 0.02


def test_beside_a_half_loaded_device_background_jobs_wait_for_gaps():
    """A request now and then: it never waits for the floor, for the gaps pay more than that."""
    of = curves(m=UNET)
    device, expected = Device(of), alone(of, steps=10)
    background = device.ask(rows=10**6, steps=10, background=True)
    for _ in range(200):
        until = device.now + random.Random(device.now).uniform(0, 2 * expected)
        while device.now < until:
            device.tick()
        number = device.ask(steps=10)
        assert device.finish(number) <= (SHARED_TICK + 0.01) * expected
    assert background not in device.took and device.scheduler._background_owed < BACKGROUND_PATIENCE


def test_requests_share_ticks_as_if_background_jobs_were_not_there():
    draw = random.Random(5)
    of = curves(m=UNET, other={4: 0.01})
    beside, without = Device(of), Device(of)
    background = beside.scheduler
    background.add(10**6, "other", rows=100, network_evaluations_by_step=(1,), background=True)
    for _ in range(300):
        request = dict(rows=draw.choice([1, 3]), steps=draw.choice([4, 10, 100]))
        beside.ask(**request), without.ask(**request)
        assert replace(beside.tick(), idle=False) == replace(without.tick(), idle=False)


def test_removed_background_rows_never_run_again():
    scheduler = Scheduler(even(4))
    scheduler.add(1, "m", rows=40, network_evaluations_by_step=(1, 1), background=True)
    tick = scheduler.next_tick()
    scheduler.remove(1)
    assert list(scheduler.advance(tick, 1.0)) == [] and not scheduler
