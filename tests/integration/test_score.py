"""GET /score: the model's own score on a grid, through the engine."""

import numpy as np
import pytest
import torch

from model.checkpoints.base import save_checkpoint
from model.conditions import Conditions
from model.measured_columns import NumberColumn
from model.prediction import score
from service.requests.score_grid import ScoreQuery, score_grid
from tests.asking import metric
from tests.tiny import POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_student

SPACE = POINTS.model_copy(update={"dataset": "space", "shape": (3,)})


def expected(points: np.ndarray, timestep: int, conditions: Conditions) -> np.ndarray:
    """By the network itself, in the data's own units."""
    checkpoint = tiny_checkpoint(POINTS)
    x = torch.tensor(points).float() / 2
    t = torch.full((len(x),), timestep)
    alpha_bar = torch.full((len(x),), float(checkpoint.schedule.alpha_bar[timestep]))
    with torch.inference_mode():
        x0 = checkpoint.denoiser(torch.device("cpu"))(x, t, conditions).x0
    return (score(x0, x, alpha_bar) / 2).numpy()


@pytest.mark.parametrize("query", ["", "&label=outer&guidance_scale=3", "&label=1&guidance=none"])
def test_the_score_is_what_tweedies_formula_makes_of_the_networks_x0(client, query):
    name = 'spirale_network_evaluations_total{device="cpu",model="spiral-tiny"}'
    before = metric(client, name)
    answer = client.get(f"/score?dataset=spiral&timestep=20&side=5&area=-3,1,0,2{query}").json()
    points, field = np.array(answer["points"]), np.array(answer["score"])
    across, upright = np.linspace(-3, 1, 5), np.linspace(0, 2, 5)
    np.testing.assert_allclose(points, [(x, y) for x in across for y in upright], atol=1e-6)
    guided = "scale" in query
    conditions = Conditions.alike(25, label=1, guidance_scale=3.0 if guided else 1.0) if query else Conditions.none(25)
    np.testing.assert_allclose(field, expected(points, 20, conditions), rtol=1e-4, atol=1e-4)
    assert answer["model"] == "spiral-tiny" and answer["timestep"] == 20
    assert answer["alpha_bar"] == tiny_checkpoint(POINTS).schedule.alpha_bar[20]
    assert metric(client, name) - before == 25 * (2 if guided else 1)


def test_a_list_may_stand_there_in_parts(client):
    whole = client.get("/score?dataset=spiral&timestep=20&side=2&area=-3,1,0,2")
    parts = client.get("/score?dataset=spiral&timestep=20&side=2&area=-3,1&area=0&area=2")
    assert whole.status_code == 200 and parts.json() == whole.json()


def test_the_largest_area_has_a_finite_score(client):
    answer = client.get("/score?dataset=spiral&timestep=1&side=3&area=-200,200,-200,200")
    assert answer.status_code == 200 and np.isfinite(answer.json()["score"]).all()


def test_a_classifiers_gradient_is_added(make_client, tmp_path):
    save_tiny(tmp_path, POINTS.model_copy(update={"labels": ()}), name="spiral-ddpm")
    classifier = tiny_classifier(POINTS)
    save_checkpoint(tmp_path / classifier.config.name, classifier.config, classifier.network)
    client = make_client(checkpoints=tmp_path)
    plain, guided = (
        np.array(client.get(f"/score?dataset=spiral&timestep=30&side=4{query}").json()["score"])
        for query in ("", "&label=outer&guidance=classifier&guidance_scale=2.5")
    )
    axis = np.linspace(-5, 5, 4)
    x = torch.tensor([(x, y) for x in axis for y in axis]).float() / 2
    labels, t = torch.ones(16, dtype=torch.int64), torch.full((16,), 30)
    gradient = classifier.classifier(torch.device("cpu")).gradient(x, t, labels).numpy() / 2
    np.testing.assert_allclose(guided - plain, 2.5 * gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("dataset=mnist&timestep=5", "dataset"),
        ("dataset=spiral&timestep=51", "timestep"),
        ("dataset=spiral&timestep=0", "timestep"),
        ("dataset=spiral", "timestep"),
        ("dataset=spiral&timestep=5&side=42", "side"),
        ("dataset=spiral&timestep=5&area=1,-1,0,1", "area"),
        ("dataset=spiral&timestep=5&area=0,inf,0,1", "area"),
        ("dataset=spiral&timestep=5&area=0,nan,0,1", "area"),
        ("dataset=spiral&timestep=5&area=-1e300,1e300,-1,1", "area"),
        ("dataset=spiral&timestep=5&area=-1,1,-1,201", "area"),
        ("dataset=spiral&timestep=5&area=0,1", "area"),
        ("dataset=spiral&timestep=5&guidance_scale=2", "guidance_scale"),
        ("dataset=spiral&timestep=5&label=middle", "label"),
        ("dataset=spiral&timestep=5&seed=3", "seed"),
    ],
)
def test_what_makes_no_field_is_refused_by_name(client, query, field):
    answer = client.get(f"/score?{query}")
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == field


def test_other_models_have_no_such_field(make_client, tmp_path):
    save_tiny(tmp_path, SPACE)
    save_tiny(tmp_path, POINTS)
    student = tiny_student(POINTS)
    save_checkpoint(tmp_path / student.config.name, student.config, student.network)
    client = make_client(checkpoints=tmp_path)
    told = client.get("/score?dataset=space&timestep=5").json()["detail"]
    assert "two dimensions" in told
    answer = client.get(f"/score?dataset=spiral&timestep=5&model={student.config.name}")
    assert answer.status_code == 422 and "posterior mean" in answer.json()["detail"]


def test_a_table_whose_samples_are_rounded_has_no_such_field(make_client, tmp_path):
    columns = tuple(NumberColumn(name=name, whole=True, low=0, high=9) for name in ("rooms", "floors"))
    save_tiny(tmp_path, POINTS.model_copy(update={"names": ("rooms", "floors"), "table": columns}))
    answer = make_client(checkpoints=tmp_path).get("/score?dataset=spiral&timestep=5")
    assert answer.status_code == 422 and "plain numbers" in answer.json()["errors"][0]["detail"]


def test_a_field_of_samples_is_not_called_one_of_scores(make_client):
    answer = make_client().get("/score?dataset=spiral&timestep=5&num_steps=4&scale=2&guidance_scal=2")
    told = {one["field"]: one["detail"] for one in answer.json()["errors"]}
    assert told["num_steps"] == told["scale"] == "unknown field; the fields are listed at /docs"
    assert told["guidance_scal"] == "unknown field; it is called guidance_scale here"


def test_it_is_bounded_like_any_request_and_head_computes_nothing(make_client):
    client = make_client(max_queued_seconds=1e-9)
    worker = client.app.state.spirale.engine._workers[0]
    before = metric(client, 'spirale_network_evaluations_total{device="cpu",model="spiral-tiny"}')
    counted = 'spirale_requests_total{dataset="spiral",outcome="ok"}'
    answered = metric(client, counted)
    head = client.head("/score?dataset=spiral&timestep=5")
    assert head.status_code == 200 and "content-length" not in head.headers
    assert metric(client, counted) == answered
    assert metric(client, 'spirale_network_evaluations_total{device="cpu",model="spiral-tiny"}') == before
    worker.backlog.admit(-1, job_of(client))  # it stays in the books: the engine is never idle
    assert client.get("/score?dataset=spiral&timestep=5").status_code == 429


def job_of(client):
    return score_grid(client.app.state.spirale.catalog, ScoreQuery(dataset="spiral", timestep=5)).job


def test_the_noise_schedule_of_a_model_is_answered(client):
    answer = client.get("/models/spiral-tiny/schedule").json()
    assert answer == {
        "model": "spiral-tiny", "alpha_bar": tiny_checkpoint(POINTS).schedule.alpha_bar.tolist(), "mean": [0.0, 0.0],
        "std": [2.0, 2.0],
    }  # fmt: skip
    missing = client.get("/models/nothing/schedule")
    assert missing.status_code == 404 and "spiral-tiny" in missing.json()["detail"]
