"""The training loop: what a run becomes does not depend on how often, or how hard, it was stopped."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn
from typer.main import get_command
from typer.testing import CliRunner

from model.checkpoints.config import load_config, save_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from tests.foreign import save_pipeline, scheduler_of, unet
from training.__main__ import app
from training.data import training_set
from training.data.data_section import BuiltInSection
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions
from training.recipe import RecipeError, load_recipe, parse_recipe
from training.tasks.denoiser import DenoisingTask
from training.tasks.task import Batch, LossContext
from training.trainer import Interrupted, TrainStep, newest_state, train

ROOT = Path(__file__).parents[3]
STEPS = 60

RECIPE = """
name = "tiny"
description = "A few steps"
data = { dataset = "gaussian" }
network = { kind = "mlp", width = 16, blocks = 1 }
schedule = { T = 50 }
sampling = { steps = 3 }

[optimisation]
steps = %(steps)d
batch_size = 32
learning_rate = %(learning_rate)s
warmup_steps = 5
ema_decay = 0.9
save_every = %(save_every)d
sample_every = 1000
"""


class StoppedData:
    """A training set that sends this process a signal while it draws the batch of step `at`."""

    def __init__(self, at: int, number: int):
        self.real = training_set(BuiltInSection(dataset="gaussian"))
        self.config = self.real.config
        self.left, self.number = at, number

    def __getattr__(self, name):
        return getattr(self.real, name)

    def draw(self, rows, generator):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        return self.real.draw(rows, generator)


def tiny_task(
    start_from: Path | None = None, *, seed: int = 0, objective: dict | None = None, **optimisation
) -> DenoisingTask:
    """With an `objective` the variance is learned."""
    recipe = {
        "name": "tiny",
        "seed": seed,
        "data": {"dataset": "gaussian"},
        "network": {"kind": "mlp", "width": 16, "blocks": 1},
        "schedule": {"T": 50},
        "sampling": {"steps": 3},
        "optimisation": {
            "steps": STEPS,
            "batch_size": 32,
            "learning_rate": 1e-2,
            "warmup_steps": 5,
            "ema_decay": 0.9,
            "save_every": 20,
            "sample_every": 1000,
            **optimisation,
        },
    }
    if objective is not None:
        recipe |= {"prediction": {"target": "v", "learned_variance": True}, "objective": objective}
    return DenoisingTask(parse_recipe(recipe, "here"), start_from)


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def raw_bytes(run: Path) -> bytes:
    """The raw weights of the run's last state."""
    return (newest_state(run) / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> tuple[Path, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A run that nothing stopped: (its folder, averaged weights, raw weights)."""
    run, task = tmp_path_factory.mktemp("straight"), tiny_task()
    average = train(task, run, Accelerator())
    return run, weights(average), weights(task.network)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", [1, 31, STEPS])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, straight, number, at):
    task = tiny_task()
    task.data = StoppedData(at, number)
    with pytest.raises(Interrupted, match=f"stopped at step {at} of {STEPS}"):
        train(task, tmp_path, Accelerator())
    assert newest_state(tmp_path).name == f"state-{at}"

    resumed = tiny_task(seed=0)
    average = train(resumed, tmp_path, Accelerator())
    assert_same_bits(weights(average), straight[1])
    assert_same_bits(weights(resumed.network), straight[2])
    assert raw_bytes(tmp_path) == raw_bytes(straight[0])


@pytest.mark.parametrize(
    "objective", [{"loss": "hybrid"}, {"loss": "vlb", "timesteps": "importance"}], ids=["hybrid", "vlb"]
)
def test_so_does_one_that_learns_a_variance(tmp_path_factory, objective):
    """Importance sampling remembers the losses of each t; at step 31 it draws by them."""
    straight, stopped = tmp_path_factory.mktemp("straight"), tmp_path_factory.mktemp("stopped")
    expected = weights(train(tiny_task(objective=objective), straight, Accelerator()))
    task = tiny_task(objective=objective)
    task.data = StoppedData(31, signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(task, stopped, Accelerator())
    for important in task.stateful:
        assert important.probabilities.max() > 1.1 * important.probabilities.min()
    assert len(task.stateful) == ("timesteps" in objective)
    assert_same_bits(weights(train(tiny_task(objective=objective), stopped, Accelerator())), expected)


def test_so_does_one_whose_matrices_are_muons(tmp_path_factory):
    straight, stopped = tmp_path_factory.mktemp("straight"), tmp_path_factory.mktemp("stopped")
    expected = weights(train(tiny_task(optimiser="muon"), straight, Accelerator()))
    task = tiny_task(optimiser="muon")
    task.data = StoppedData(31, signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(task, stopped, Accelerator())
    assert_same_bits(weights(train(tiny_task(optimiser="muon"), stopped, Accelerator())), expected)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, straight):
    script = f"""
import sys
from pathlib import Path
from accelerate import Accelerator
from safetensors.torch import load_file
from tests.unit.training.test_trainer import StoppedData, tiny_task
from training.trainer import train
task = tiny_task()
task.data = StoppedData(37, {int(signal.SIGKILL)})
train(task, Path(sys.argv[1]), Accelerator())
"""
    # As many threads as here: how a sum is split between them shows in its last bits.
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert newest_state(tmp_path).name == "state-20"

    assert_same_bits(weights(train(tiny_task(), tmp_path, Accelerator())), straight[1])
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == STEPS


def test_a_state_of_more_processes_is_refused(straight, tmp_path):
    shutil.copytree(straight[0], tmp_path / "run")
    made_by = newest_state(tmp_path / "run") / "made_by.json"
    made_by.write_text(json.dumps(json.loads(made_by.read_text()) | {"processes": 2}))
    with pytest.raises(RecipeError, match="by 2 processes, not 1"):
        train(tiny_task(), tmp_path / "run", Accelerator())


def test_a_half_written_state_is_not_taken_for_one(tmp_path, straight):
    (tmp_path / "state.partial").mkdir()
    (tmp_path / "state.partial" / "model.safetensors").write_bytes(b"half")
    assert newest_state(tmp_path) is None
    assert_same_bits(weights(train(tiny_task(), tmp_path, Accelerator())), straight[1])


def test_a_finished_run_stays_as_it_is(straight):
    run, average, _ = straight
    before = raw_bytes(run)
    assert_same_bits(weights(train(tiny_task(), run, Accelerator())), average)
    assert raw_bytes(run) == before


def test_a_picture_that_cannot_be_drawn_costs_no_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(DenoisingTask, "picture", Mock(side_effect=RuntimeError("no picture")))
    with pytest.raises(RuntimeError, match="no picture"):
        train(tiny_task(sample_every=20), tmp_path, Accelerator())
    assert newest_state(tmp_path).name == "state-20"


def test_a_run_leaves_its_newest_state_a_log_and_a_picture(straight):
    run = straight[0]
    assert [path.name for path in run.glob("state*")] == [f"state-{STEPS}"]
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert entries[-1]["step"] == STEPS
    assert all(entry["loss"] > 0 and entry["images_per_second"] > 0 for entry in entries)
    assert (run / "samples" / f"step-{STEPS:06d}.png").is_file()


def test_another_seed_is_another_run(tmp_path, straight):
    average = train(tiny_task(seed=1), tmp_path, Accelerator())
    assert not torch.equal(average.state_dict()["enter.weight"], straight[1]["enter.weight"])


def test_a_state_of_another_recipe_is_refused(straight):
    with pytest.raises(RecipeError, match=r"another version of the recipe 'tiny'.*--fresh"):
        train(tiny_task(learning_rate=5e-3), straight[0], Accelerator())


def test_the_average_forgets_the_first_weights_early_on(tmp_path):
    task = tiny_task(ema_decay=0.9999)  # without warm-up it would keep 99 % of the initial weights
    first = weights(task.network)["enter.weight"]
    average = weights(train(task, tmp_path, Accelerator()))["enter.weight"]
    raw = weights(task.network)["enter.weight"]
    assert not torch.equal(average, raw)
    assert (average - raw).norm() < 0.5 * (first - raw).norm()


def test_no_decay_is_no_average(tmp_path):
    task = tiny_task(ema_decay=0.0)
    average = train(task, tmp_path, Accelerator())
    for name, tensor in weights(task.network).items():
        torch.testing.assert_close(average.state_dict()[name], tensor, rtol=1e-6, atol=1e-7)


def test_the_optimiser_has_the_recipe_s_beta2():
    steps = TrainStep(tiny_task(beta2=0.9), Accelerator())
    (adamw,) = steps.optimisers
    assert adamw.param_groups[0]["betas"] == (0.9, 0.9)


@pytest.mark.parametrize("wanted", ["no", "bf16"])
@pytest.mark.parametrize("has_it", [True, False])
def test_a_network_is_computed_in_bfloat16_where_the_recipe_wants_it_and_the_device_has_it(wanted, has_it, monkeypatch):
    monkeypatch.setattr("model.precision.has_bfloat16", lambda device: has_it)
    steps = TrainStep(tiny_task(mixed_precision=wanted), Accelerator())
    computed = set()
    for module in steps.network.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda module, inputs, output: computed.add(output.dtype))
    loss, _ = steps.take(0)
    assert computed == {torch.bfloat16 if wanted == "bf16" and has_it else torch.float32}
    assert loss.dtype == torch.float32
    assert {parameter.dtype for parameter in steps.network.parameters()} == {torch.float32}


class WatchedTask(DenoisingTask):
    """Keeps the step, the average and the network that every loss was given."""

    def loss(self, batch, context):
        self.seen.append((context.step, weights(context.average), weights(context.network)))
        return super().loss(batch, context)


def test_a_loss_is_given_its_step_and_the_average_of_the_steps_before(tmp_path):
    decay, steps = 0.9, 12
    task = WatchedTask(tiny_task(steps=steps, save_every=1000).recipe)
    task.seen = []
    averaged = train(task, tmp_path, Accelerator())
    assert [step for step, _, _ in task.seen] == list(range(steps))
    averages = [average for _, average, _ in task.seen] + [weights(averaged)]
    networks = [network for _, _, network in task.seen] + [weights(task.network)]
    assert_same_bits(averages[0], networks[0])
    assert_same_bits(averages[1], networks[1])  # the first update takes the weights as they are
    for n in range(1, steps):
        rate = 1 - min(decay, (1 + n) / (10 + n))
        for name, before in averages[n].items():
            torch.testing.assert_close(averages[n + 1][name], torch.lerp(before, networks[n + 1][name], rate))


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_training_lowers_the_loss(tmp_path, optimiser):
    task = tiny_task(steps=300, save_every=1000, optimiser=optimiser)
    rows, labels = task.data.draw(2000, torch.Generator().manual_seed(5))

    def loss(network) -> float:
        with torch.no_grad():
            context = LossContext(network, network, 0, torch.Generator().manual_seed(6))
            return task.loss(Batch(rows, labels), context).item()

    before = loss(task.network)
    assert loss(train(task, tmp_path, Accelerator())) < 0.7 * before


def test_a_loss_that_is_not_finite_says_what_to_lower_and_is_not_saved(tmp_path):
    with pytest.raises(RecipeError, match=r"tiny: the loss .* not finite at step \d+.*optimisation.learning_rate"):
        train(tiny_task(learning_rate=1e25, warmup_steps=0, save_every=1), tmp_path, Accelerator())
    state = newest_state(tmp_path)
    if state is not None:
        assert all(torch.isfinite(tensor).all() for tensor in load_file(state / "model.safetensors").values())


# The command line


def test_every_command_and_option_says_what_it_does():
    for name, of in get_command(app).commands.items():
        assert of.help, name
        for option in of.params:
            assert option.help, f"{name} {option.name}"


def command(tmp_path: Path, *arguments: str, **changes):
    values = {"steps": 20, "learning_rate": "1e-2", "save_every": 1000} | changes
    (tmp_path / "tiny.toml").write_text(RECIPE % values)
    folders = ["--checkpoints", str(tmp_path / "checkpoints"), "--runs", str(tmp_path / "runs"), "--no-evaluate"]
    return CliRunner().invoke(app, ["train", str(tmp_path / "tiny.toml"), "--no-graph", *folders, *arguments])


def test_train_makes_a_checkpoint_of_the_averaged_weights(tmp_path):
    result = command(tmp_path)
    assert result.exit_code == 0, result.exception
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "tiny")
    assert checkpoint.config.recipe["optimisation"]["steps"] == 20
    assert "A few steps" in (tmp_path / "checkpoints" / "tiny" / "README.md").read_text()
    state = torch.load(tmp_path / "runs" / "tiny" / "state-20" / "custom_checkpoint_0.pkl", weights_only=True)
    for name, tensor in checkpoint.network.state_dict().items():
        assert torch.equal(tensor, state[f"module.{name}"])


def test_a_finished_run_keeps_what_was_measured_of_its_weights(tmp_path):
    assert "written to" in command(tmp_path).output
    folder = tmp_path / "checkpoints" / "tiny"
    measured = load_config(folder, DenoiserConfig).model_copy(update={"metrics": {"measured": {"samples": 7}}})
    save_config(folder, measured)
    (folder / "likelihood.png").write_bytes(b"a picture")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = command(tmp_path)
    assert again.exit_code == 0 and "has these weights already" in again.output
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert "written to" in command(tmp_path, "--fresh", learning_rate="2e-2").output
    assert load_config(folder, DenoiserConfig).metrics == {} and not (folder / "likelihood.png").exists()


def test_a_measurement_that_is_broken_off_leaves_a_checkpoint_with_its_graph(tmp_path, monkeypatch):
    there = []

    def stopped(folder: Path, *_):
        there.extend(path.name for path in folder.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr("training.train_command.evaluate_checkpoint", stopped)
    result = command(tmp_path, "--evaluate", "--graph")
    assert isinstance(result.exception, Interrupted) and "it can be served, but is not measured" in str(
        result.exception
    )
    assert "graph.onnx" in there


def test_from_begins_with_the_weights_of_a_checkpoint(tmp_path):
    assert command(tmp_path).exit_code == 0
    first = load_checkpoint(tmp_path / "checkpoints" / "tiny").network
    task = tiny_task(tmp_path / "checkpoints" / "tiny")
    assert_same_bits(weights(task.network), weights(first))

    # A rate of nearly nothing leaves them where they are.
    result = command(tmp_path, "--from", "tiny", "--fresh", steps=6, learning_rate="1e-12")
    assert result.exit_code == 0, result.exception
    after = load_checkpoint(tmp_path / "checkpoints" / "tiny").network
    for name, tensor in weights(first).items():
        torch.testing.assert_close(after.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
    again = command(tmp_path, "--from", "tiny", steps=6, learning_rate="1e-12")
    assert again.exit_code == 0, again.exception
    assert command(tmp_path, steps=6, learning_rate="1e-12").exit_code == 0  # goes on, and remembers
    assert load_checkpoint(tmp_path / "checkpoints" / "tiny").config.recipe["started_from"] == "tiny"


def test_a_run_goes_on_where_what_it_started_from_is_gone(tmp_path):
    assert command(tmp_path).exit_code == 0
    start = (tmp_path / "checkpoints" / "tiny").rename(tmp_path / "start")
    assert command(tmp_path, "--from", str(start), "--fresh").exit_code == 0
    expected = weights(load_checkpoint(tmp_path / "checkpoints" / "tiny").network)
    shutil.rmtree(start)
    shutil.rmtree(tmp_path / "checkpoints" / "tiny")
    again = command(tmp_path)
    assert again.exit_code == 0, again.exception
    found = load_checkpoint(tmp_path / "checkpoints" / "tiny")
    assert_same_bits(weights(found.network), expected)
    assert found.config.recipe["started_from"] == "start"


def test_from_is_refused_where_the_weights_mean_something_else(tmp_path):
    assert command(tmp_path).exit_code == 0
    recipe = (tmp_path / "tiny.toml").read_text()
    for changed in ('schedule = { T = 50, name = "linear" }', 'schedule = { T = 50 }\nprediction = { target = "x0" }'):
        (tmp_path / "other.toml").write_text(recipe.replace("schedule = { T = 50 }", changed))
        folders = ["--checkpoints", str(tmp_path / "checkpoints"), "--runs", str(tmp_path / "other")]
        result = CliRunner().invoke(
            app, ["train", str(tmp_path / "other.toml"), "--from", "tiny", "--no-graph", *folders]
        )
        assert isinstance(result.exception, RecipeError)
        assert "was trained with another" in str(result.exception)


def test_from_is_refused_for_a_network_of_another_library(tmp_path):
    import_model(save_pipeline(tmp_path / "source", unet(), scheduler_of("ddpm")), tmp_path, ImportOptions("own"))
    (tmp_path / "tiny.toml").write_text(RECIPE % {"steps": 20, "learning_rate": "1e-2", "save_every": 1000})
    with pytest.raises(RecipeError, match="--from: own has a network of another library"):
        DenoisingTask(load_recipe(str(tmp_path / "tiny.toml")), tmp_path / "own")


def test_from_is_refused_where_a_run_is_under_way(tmp_path):
    assert command(tmp_path).exit_code == 0
    result = command(tmp_path, "--from", "tiny")
    assert isinstance(result.exception, RecipeError)
    assert "--fresh" in str(result.exception)


# Several processes: torchrun, because `accelerate launch` starts one process on a CPU without MPI, whatever it is asked


def torchrun(*arguments: object) -> None:
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, timeout=300, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE % {"steps": 40, "learning_rate": "1e-2", "save_every": 10})
    folders = ["--checkpoints", tmp_path / "checkpoints", "--runs", tmp_path / "runs", "--no-evaluate"]
    torchrun("-m", "training", "train", tmp_path / "tiny.toml", "--no-graph", *folders)
    load_checkpoint(tmp_path / "checkpoints" / "tiny")
    assert (tmp_path / "runs" / "tiny" / "state-40" / "random_states_1.pkl").is_file()  # the second process was there


def start_nodes(*arguments: object, folder: Path = ROOT) -> list[subprocess.Popen[str]]:
    """Two agents of torchrun with a process each, as on two machines that share a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    launch += ["--master-addr=127.0.0.1", f"--master-port={port}"]
    return [
        subprocess.Popen(
            [*launch, f"--node-rank={rank}", *map(str, arguments)],
            cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        for rank in range(2)
    ]  # fmt: skip


def ended(nodes: list[subprocess.Popen[str]]) -> list[str]:
    """What they wrote, once all of them have ended."""
    try:
        return [node.communicate(timeout=300)[1] for node in nodes]
    finally:
        for node in nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)


@pytest.mark.slow
def test_two_nodes_train_one_network(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE % {"steps": 40, "learning_rate": "1e-2", "save_every": 10})
    folders = ["--checkpoints", tmp_path / "checkpoints", "--runs", tmp_path / "runs", "--no-evaluate", "--no-graph"]
    nodes = start_nodes("-m", "training", "train", tmp_path / "tiny.toml", *folders)
    errors = ended(nodes)
    assert [node.returncode for node in nodes] == [0, 0], errors
    load_checkpoint(tmp_path / "checkpoints" / "tiny")
    assert (tmp_path / "runs" / "tiny" / "state-40" / "random_states_1.pkl").is_file()  # the second node was there


def stopped_training(folder: Path, number: int) -> Path:
    """A script that trains in the folder it is given. With `stop` the second process sends itself that signal."""
    script = folder / "stopped.py"
    script.write_text(f"""
import os, sys
from pathlib import Path
from accelerate import Accelerator
from tests.unit.training.test_trainer import StoppedData, tiny_task
from training.trainer import Interrupted, train
task = tiny_task()
if "stop" in sys.argv and os.environ["RANK"] == "1":
    task.data = StoppedData(31, {number})
try:
    train(task, Path(sys.argv[1]), Accelerator())
except Interrupted:
    pass
""")
    (folder / "straight").mkdir()
    (folder / "stopped").mkdir()
    return script


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_they_go_on_to_the_same_bits(tmp_path):
    script = stopped_training(tmp_path, signal.SIGTERM)
    torchrun(script, tmp_path / "straight")
    torchrun(script, tmp_path / "stopped", "stop")
    assert newest_state(tmp_path / "stopped").name == "state-31"
    torchrun(script, tmp_path / "stopped")
    assert raw_bytes(tmp_path / "stopped") == raw_bytes(tmp_path / "straight")


@pytest.mark.slow
def test_after_a_node_is_killed_both_go_on_from_the_last_state_to_the_bits_of_one_machine(tmp_path):
    script = stopped_training(tmp_path, signal.SIGKILL)
    torchrun(script, tmp_path / "straight")
    killed = start_nodes(script, tmp_path / "stopped", "stop")
    errors = ended(killed)
    assert all(node.returncode for node in killed), errors
    assert newest_state(tmp_path / "stopped").name == "state-20"
    again = start_nodes(script, tmp_path / "stopped")
    errors = ended(again)
    assert [node.returncode for node in again] == [0, 0], errors
    assert raw_bytes(tmp_path / "stopped") == raw_bytes(tmp_path / "straight")


@pytest.mark.slow
def test_nodes_that_do_not_share_a_folder_are_refused(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE % {"steps": 40, "learning_rate": "1e-2", "save_every": 10})
    (tmp_path / "own.py").write_text("""
import os, sys
from training.__main__ import app
app(["train", *sys.argv[1:], "--runs", os.environ["RANK"]])
""")
    nodes = start_nodes(
        tmp_path / "own.py", tmp_path / "tiny.toml", "--checkpoints", tmp_path / "checkpoints", folder=tmp_path
    )
    errors = ended(nodes)
    assert all(node.returncode for node in nodes)
    assert all("process 1 of 2 sees another folder than process 0: give --runs" in error for error in errors), errors
    assert not list(tmp_path.rglob("state-*"))
